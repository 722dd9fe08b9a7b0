/** `slipway gateway`: one more gateway in the foreground, with one process or several. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

import { findRunningStack } from '../../deploy/local/stack-file.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { externalServices, gatewayPlace, stackPaths } from '../../platform/config.ts';
import type { CliContext } from '../context.ts';

const MOST_PROCESSES = 256;

export interface ProcessRange {
  readonly min: number;
  readonly max: number;
}

/** `4`, or `1..4`. */
export function processRange(text: string): ProcessRange {
  const [, from, to] = /^(\d{1,3})(?:\.\.(\d{1,3}))?$/.exec(text) ?? [];
  const min = Number(from);
  const max = Number(to ?? from);
  if (from === undefined || min < 1 || max > MOST_PROCESSES) {
    throw new InvalidArgumentError(
      `A number of processes is 1 to ${MOST_PROCESSES}, or a range such as 1..4.`,
    );
  }
  if (max < min) throw new InvalidArgumentError(`A range begins with the smaller number: ${max}..${min}.`);
  return { min, max };
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError('A port is a whole number from 1 to 65535.');
  }
  return port;
}

export function gatewayCommand(program: Command, { output, exit }: CliContext): void {
  program
    .command('gateway')
    .description(
      'run a gateway in the foreground; Ctrl-C drains it, SIGHUP replaces its processes one by one',
    )
    .option('--processes <n|min..max>', 'how many processes share the port', processRange)
    .option('--port <port>', 'where it listens; the usual port or a free one by default', portNumber)
    .addHelpText(
      'after',
      `
It follows the routes of DATABASE_URL, or else of the stack that runs in this home.

Examples:
  slipway gateway
  slipway gateway --processes 4
  slipway gateway --processes 1..4 --port 9000`,
    )
    .action(async ({ processes, port }: { processes?: ProcessRange; port?: number }) => {
      const { home } = stackPaths();
      const databaseUrl = externalServices().databaseUrl ?? findRunningStack(home)?.databaseUrl;
      if (databaseUrl === undefined) {
        throw new SlipwayError(
          'STACK_NOT_RUNNING',
          `no stack is running in ${home}, and DATABASE_URL is not set: there are no routes to follow`,
        );
      }
      const { runGateway } = await import('../../deploy/local/index.ts');
      const place = gatewayPlace();
      const code = await runGateway({
        home,
        databaseUrl,
        host: place.host,
        port: port ?? place.port,
        processes,
        onStart: (gateway) =>
          output.remark(
            `gateway on http://${place.host}:${gateway.port}; kill -HUP ${gateway.pid} replaces its processes`,
          ),
      });
      exit(code);
    });
}
