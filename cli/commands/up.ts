/** `slipway up`: the stack of this home, until Ctrl-C. */
import type { Command } from 'commander';

import { externalServices, stackPaths } from '../../platform/config.ts';
import { startLifecycle } from '../../platform/lifecycle.ts';
import type { CliContext } from '../context.ts';

/** The stack stops its parts within 10 s each at most; two of them may have to be ended. */
const STOP_TIMEOUT_MS = 60_000;

export function upCommand(program: Command, { output }: CliContext): void {
  program
    .command('up')
    .description('start the stack of this home and keep it running; Ctrl-C stops it')
    .addHelpText('after', '\nExamples:\n  slipway up\n  SLIPWAY_HOME=/srv/slipway slipway up')
    .action(async () => {
      // Only here: PostgreSQL and Temporal clients take longer to load than most commands take to run.
      const { progressLine, startStack } = await import('../../deploy/local/index.ts');
      const { migrate } = await import('../../db/migrate.ts');
      const { home, cacheFolder } = stackPaths();
      const lifecycle = startLifecycle({
        timeoutMsShutdown: STOP_TIMEOUT_MS,
        log: (message) => output.remark(message),
      });
      const stack = await startStack({
        home,
        cacheFolder,
        external: externalServices(),
        migrate,
        onProgress: (event) => {
          const line = progressLine(event);
          if (line !== undefined) output.remark(line);
        },
      });
      lifecycle.onShutdown('stack', () => stack.stop());
      const { api, gateway, temporalUi, tokenFile } = stack.info;
      output.line(output.bold('Slipway is up.'));
      output.line(`  API          ${api}`);
      output.line(`  gateway      ${gateway}`);
      output.line(`  Temporal UI  ${temporalUi ?? 'not of this stack'}`);
      output.line(`  home         ${home}`);
      output.line(`  tokens       ${tokenFile}`);
      output.line('Try it in another terminal: slipway apply -f examples/elec2. Ctrl-C stops the stack.');
    });
}
