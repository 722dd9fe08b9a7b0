/** `slipway doctor`: what was found on this machine, and what to do about what is missing. */
import type { Command } from 'commander';

import { externalServices, stackPaths } from '../../platform/config.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { jsonOption } from '../options.ts';
import { withProgress } from '../progress.ts';

export function doctorCommand(program: Command, { output, exit }: CliContext): void {
  program
    .command('doctor')
    .description('say what of Temporal, PostgreSQL, Python and ports was found; changes nothing')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway doctor --json')
    .action(async ({ json }: { json?: true }) => {
      const { diagnose } = await import('../../deploy/local/index.ts');
      const work = diagnose({ paths: stackPaths(), external: externalServices() });
      const findings = await withProgress(output, () => 'looking around', work);
      if (json) output.json({ findings });
      else {
        output.table(
          ['', 'check', 'found'],
          findings.map(({ ok, check, found }) => [ok ? 'ok' : '!!', check, found]),
        );
        for (const { check, advice } of findings.filter(({ ok }) => !ok))
          output.line(`\n${check}: ${advice}`);
      }
      if (findings.some(({ ok }) => !ok)) exit(EXIT.failed);
    });
}
