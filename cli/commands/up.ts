/** `slipway up`: the stack of this home, until Ctrl-C. */
import type { Command } from 'commander';

import { externalServices, stackPaths } from '../../platform/config.ts';
import { startLifecycle } from '../../platform/lifecycle.ts';
import type { StackProcess } from '../../deploy/local/index.ts';
import type { CliContext } from '../context.ts';
import { processRange } from './gateway.ts';
import type { ProcessRange } from './gateway.ts';

/** The stack stops its parts within 10 s each at most; two of them may have to be ended. */
const STOP_TIMEOUT_MS = 60_000;

export function upCommand(program: Command, { output }: CliContext): void {
  program
    .command('up')
    .description('start the stack of this home and keep it running; Ctrl-C stops it')
    .option('--gateways <n|min..max>', 'how many gateway processes share its port', processRange)
    .addHelpText(
      'after',
      '\nExamples:\n  slipway up\n  slipway up --gateways 1..4\n  SLIPWAY_HOME=/srv/slipway slipway up',
    )
    .action(async ({ gateways }: { gateways?: ProcessRange }) => {
      // Only here: PostgreSQL and Temporal clients take longer to load than most commands take to run.
      const { progressLine, STACK_PROCESSES, startStack } = await import('../../deploy/local/index.ts');
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
        processes: STACK_PROCESSES.map((one) => (one.name === 'gateway' ? withGateways(one, gateways) : one)),
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

/** What was not said is left to the environment. */
function withGateways(gateway: StackProcess, range: ProcessRange | undefined): StackProcess {
  if (range === undefined) return gateway;
  return {
    ...gateway,
    env: (addresses) => ({
      ...gateway.env?.(addresses),
      SLIPWAY_GATEWAY_PROCESSES_MIN: String(range.min),
      SLIPWAY_GATEWAY_PROCESSES_MAX: String(range.max),
    }),
  };
}
