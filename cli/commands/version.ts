/** `slipway versions`, `lineage` and `verify`. */
import type { Command } from 'commander';

import type { LineageChain } from '../../api/client.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { asOption, jsonOption, modelName, versionDigest } from '../options.ts';
import type { Output } from '../output.ts';
import { instant, shortDigest } from '../output.ts';
import { withProgress } from '../progress.ts';

interface Reading {
  readonly as: string;
  readonly json?: true;
}

export function versionCommands(program: Command, { output, connect, exit }: CliContext): void {
  program
    .command('versions')
    .description('list the versions of a model, newest first')
    .argument('<model>', 'name of the model', modelName)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway versions elec2')
    .action(async (model: string, { as, json }: Reading) => {
      const versions = await (await connect(as)).versions(model);
      if (json) return output.json({ versions });
      if (versions.length === 0)
        return output.line(`${model} has no version yet. Next: slipway release ${model}`);
      output.table(
        ['number', 'digest', 'release', 'made', ''],
        versions.map(({ number, digest, releaseId, createdAt, revoked }) => [
          String(number),
          shortDigest(digest),
          releaseId,
          instant(Date.parse(createdAt)),
          revoked ? 'revoked' : '',
        ]),
      );
    });

  program
    .command('lineage')
    .description('show what a version was made from, who approved it, and when it served')
    .argument('<version>', 'digest of the version, or its beginning', versionDigest)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway lineage 3f2a91c07b11')
    .action(async (version: string, { as, json }: Reading) => {
      const chain = await (await connect(as)).lineage(version);
      return json ? output.json(chain) : showLineage(output, chain);
    });

  program
    .command('verify')
    .description(
      'check the stored bytes, signature and approvals of a version, as a gateway does; exit code 1 when one is wrong',
    )
    .argument('<version>', 'digest of the version, or its beginning', versionDigest)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway verify 3f2a91c07b11 && echo "may be served"')
    .action(async (version: string, { as, json }: Reading) => {
      const client = await connect(as);
      const answer = await withProgress(output, () => 'verifying', client.verify(version));
      if (json) output.json(answer);
      else {
        output.line(`${answer.digest}: ${answer.servable ? 'may be served' : 'may NOT be served'}`);
        for (const { code, file, path, reason } of answer.problems) {
          output.line(
            `  ${[code, file, path].filter((part) => part !== undefined && part !== '').join(' ')}: ${reason}`,
          );
        }
      }
      if (!answer.servable) exit(EXIT.failed);
    });
}

function showLineage(output: Output, chain: LineageChain): void {
  const { lineage, release, decisions, served } = chain;
  const parameters = Object.entries(lineage.parameters).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  );
  const lines: readonly (readonly [string, string])[] = [
    ['data file', lineage.data.source],
    ['snapshot', `${lineage.data.snapshot} (${lineage.data.rows} rows)`],
    ['trainer', `${lineage.trainer}, seed ${lineage.seed}`],
    ['code', lineage.code],
    ['environment', lineage.environment],
    ['parameters', parameters.join(' ') || 'none'],
    ['version', `${chain.digest} (${chain.model} number ${chain.number}${chain.revoked ? ', REVOKED' : ''})`],
    ['compared with', lineage.comparedWith ?? 'nothing: there was no champion'],
    ['release', release === null ? lineage.releaseId : `${release.id}, submitted by ${release.submittedBy}`],
    ...decisions.map(
      ({ approver, decision, decidedAt }) => [decision, `by ${approver} at ${decidedAt}`] as const,
    ),
    ...served.map(
      ({ endpoint, fromMs, untilMs }) =>
        [
          'served',
          `${endpoint} from ${instant(fromMs)} ${untilMs === null ? 'until now' : `to ${instant(untilMs)}`}`,
        ] as const,
    ),
  ];
  for (const [name, text] of lines) output.line(`${output.bold(name.padEnd(14))}${text}`);
}
