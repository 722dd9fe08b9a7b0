/** `slipway apply`: declares models from their manifests. */
import type { Command } from 'commander';

import { SlipwayError } from '../../domain/errors.ts';
import type { CliContext } from '../context.ts';
import type { ModelDocument } from '../manifest-files.ts';
import { readModelDocuments } from '../manifest-files.ts';
import { asOption, jsonOption } from '../options.ts';
import { withProgress } from '../progress.ts';

export function applyCommand(program: Command, { output, connect }: CliContext): void {
  program
    .command('apply')
    .description('declare a model, or change what is declared; a wrong manifest is refused whole')
    .requiredOption('-f, --file <path>', 'a manifest, or a folder of manifests')
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway apply -f examples/elec2\n  slipway apply -f my-model/model.yaml --json',
    )
    .action(async ({ file, as, json }: { file: string; as: string; json?: true }) => {
      // All are read before the first is sent: a typing error in one leaves every model as it was.
      const documents = await readModelDocuments(file);
      const client = await connect(as);
      const applied = [];
      for (const document of documents) {
        const { name, manifest, sources } = document;
        const work = client.apply(name === '' ? 'unnamed' : name, { manifest, sources });
        applied.push(await withProgress(output, () => `applying ${document.file}`, located(work, document)));
      }
      if (json) return output.json({ applied });
      for (const { name, manifestDigest, changed } of applied) {
        output.line(`${name}: ${changed ? 'applied' : 'unchanged'}, manifest ${manifestDigest}`);
      }
      output.line(`Next: slipway release ${applied[0]?.name ?? '<model>'}`);
    });
}

/** Problems come back with JSON pointers; people have lines. */
async function located<T>(work: Promise<T>, document: ModelDocument): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof SlipwayError) || error.code !== 'INVALID_MANIFEST') throw error;
    const problems = error.problems.map((problem) => {
      const line = document.lineOf(problem.path);
      return { ...problem, file: line === undefined ? document.file : `${document.file}:${line}` };
    });
    throw new SlipwayError(error.code, error.message, { problems, cause: error });
  }
}
