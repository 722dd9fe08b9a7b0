/** `slipway audit verify`. */
import type { Command } from 'commander';

import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { asOption, jsonOption } from '../options.ts';
import { withProgress } from '../progress.ts';

export function auditCommands(program: Command, { output, connect, exit }: CliContext): void {
  const audit = program.command('audit').description('the audit log: who did what');
  audit
    .command('verify')
    .description('compute every hash chain and checkpoint again; exit code 1 names the first bad row')
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway audit verify --json')
    .action(async ({ as, json }: { as: string; json?: true }) => {
      const client = await connect(as);
      const verdict = await withProgress(output, () => 'verifying the audit log', client.verifyAudit());
      const { intact, rows, streams, checkpoints, broken } = verdict;
      if (json) output.json(verdict);
      else if (intact)
        output.line(`whole: ${rows} rows in ${streams} streams, ${checkpoints} signed checkpoints`);
      else {
        output.line('BROKEN: the audit log is not what was written');
        for (const { stream, seq, reason } of broken) output.line(`  ${stream} row ${seq}: ${reason}`);
      }
      if (!intact) exit(EXIT.failed);
    });
}
