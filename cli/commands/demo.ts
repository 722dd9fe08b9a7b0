/** `slipway demo`: the whole story on a private stack. */
import type { Command } from 'commander';

import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';

export function demoCommand(program: Command, { output, exit }: CliContext): void {
  program
    .command('demo')
    .description('play a release story on real data with a private stack, and stop it again')
    .addHelpText(
      'after',
      '\nExample:\n  slipway demo\n\nThe report is written to demo/report.json in the home.',
    )
    .action(async () => {
      const { runDemo } = await import('../demo/run-demo.ts');
      const controller = new AbortController();
      const stop = (): void => controller.abort();
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
      const happened = await runDemo({ print: (line) => output.line(line), signal: controller.signal });
      if (!happened) exit(EXIT.failed);
    });
}
