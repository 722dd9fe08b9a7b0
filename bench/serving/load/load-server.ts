/**
 * The gateway under load, in a process of its own, and what the benchmark asks of it while the load goes on. It sends
 * its port when it is ready.
 */
import { readFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { VersionDescriptor } from '../../../domain/registry/index.ts';
import { eventually } from '../../../test/serving/gateway-fixture.ts';
import { startBenchGateway } from '../bench-gateway.ts';
import type { BenchGateway } from '../bench-gateway.ts';

export type Command =
  | { readonly do: 'memory' }
  | { readonly do: 'logged' }
  | { readonly do: 'reset-delay' }
  | { readonly do: 'delay' }
  /** Signed and stored now, so that a swap is nothing but a swap. */
  | { readonly do: 'make-versions'; readonly count: number }
  | { readonly do: 'swap' };

export interface Memory {
  readonly heapUsed: number;
  readonly external: number;
}

/** Rows of the prediction log since the start. */
export interface Logged {
  readonly written: number;
  readonly dropped: number;
}

export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface Swap {
  /** From the new route until the new version answers. */
  readonly ms: number;
}

const CANARY_SHARE_BP = 1000;
const SWAP_TIMEOUT_MS = 20_000;
/** What the control plane's stand-in was told would fill the memory that a soak looks at. */
const FORGET_MS = 1000;

export async function serveUnderLoad(model: string, columns: number): Promise<void> {
  const logged = { written: 0, dropped: 0 };
  const gateway = await startBenchGateway(await readFile(model), columns, {
    predictionsLogged(_, written, dropped) {
      logged.written += written;
      logged.dropped += dropped;
    },
  });
  const { fixture, client, port } = gateway;
  const { control } = fixture;
  await client.ready();
  const candidate = { version: await gateway.candidate(), weightBp: CANARY_SHARE_BP };
  gateway.route({ candidate });
  const digest = candidate.version.digest;
  await eventually(() => control.lastAck?.versions[digest]?.state === 'ready', 'canary', SWAP_TIMEOUT_MS);
  setInterval(() => {
    control.flushes.length = 0;
    control.acks.splice(0, control.acks.length - 1);
  }, FORGET_MS).unref();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const spare: VersionDescriptor[] = [];
  const answer = async (command: Command): Promise<object> => {
    switch (command.do) {
      case 'memory': {
        const { heapUsed, external } = process.memoryUsage();
        return { heapUsed, external } satisfies Memory;
      }
      case 'logged':
        return logged satisfies Logged;
      case 'reset-delay':
        delay.reset();
        delay.enable();
        return {};
      case 'delay':
        delay.disable();
        return { p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 } satisfies LoopDelay;
      case 'make-versions':
        for (let i = 0; i < command.count; i += 1)
          spare.push(await version(gateway, model, `${spare.length}`));
        return {};
      case 'swap':
        return await swap(gateway, spare.shift(), candidate);
    }
  };
  process.on('message', (command: Command) => void answer(command).then((said) => process.send?.(said)));
  process.send?.(port);
}

async function version(
  { fixture, champion }: BenchGateway,
  model: string,
  note: string,
): Promise<VersionDescriptor> {
  return await fixture.version(await readFile(model), { tensors: champion.tensors, note: `swap ${note}` });
}

async function swap(
  { fixture, spec }: BenchGateway,
  champion: VersionDescriptor | undefined,
  candidate: { readonly version: VersionDescriptor; readonly weightBp: number },
): Promise<Swap> {
  if (champion === undefined) throw new Error('no version is left to swap to');
  const { control } = fixture;
  const from = performance.now();
  const generation = control.route({ champion, spec, candidate });
  await eventually(() => control.lastAck?.generation === generation, 'swapped', SWAP_TIMEOUT_MS);
  return { ms: performance.now() - from };
}
