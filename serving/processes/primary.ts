/**
 * The process above the gateway processes: starts them, restarts them, scales them. It loads no model, opens no
 * database and takes part in no request.
 */
import cluster from 'node:cluster';
import { decide, NO_HISTORY } from '../../domain/autoscale/index.ts';
import type { ScalingPolicy } from '../../domain/autoscale/index.ts';
import type { GatewayLog } from '../log.ts';
import { MetricsCollector } from './collect-metrics.ts';
import type { Member } from './member.ts';
import { memberArguments } from './messages.ts';
import type { FromMember } from './messages.ts';
import { ProcessPool } from './process-pool.ts';
import { rebalance } from './rebalance.ts';

export interface PrimaryOptions {
  /** The program that each process runs; it calls `joinPrimary`. */
  readonly program: string;
  readonly policy: ScalingPolicy;
  readonly timeoutMsStop: number;
  readonly timeoutMsReady?: number;
  readonly onHopeless: (reason: string) => void;
  readonly log: GatewayLog;
}

export interface Primary {
  /** Replaces every process by a new one without failing a request. */
  roll(): Promise<boolean>;
  stop(): Promise<void>;
}

const LOOK_MS = 1000;
/** Two reports, and some for a busy event loop. */
const FRESH_MS = 2500;
const READY_MS = 60_000;

export function startPrimary(options: PrimaryOptions): Primary {
  const { program, policy, log } = options;
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const metrics = new MetricsCollector();
  const scrape = async (from: Member, id: number): Promise<void> => {
    const text = (await metrics.collect(pool.members)) + ownMetrics(pool);
    from.tell({ kind: 'scraped', id, text });
  };
  const pool = new ProcessPool({
    spawn: (slot, listen) => {
      cluster.setupPrimary({ exec: program, args: memberArguments(slot, listen) });
      return cluster.fork();
    },
    onMessage: (from: Member, message: FromMember) => {
      if (message.kind === 'metrics') metrics.heard(message);
      else if (message.kind === 'scrape') void scrape(from, message.id);
    },
    onHopeless: options.onHopeless,
    log,
    timeoutMsStop: options.timeoutMsStop,
    timeoutMsReady: options.timeoutMsReady ?? READY_MS,
  });
  pool.resize(policy.min);

  let history = NO_HISTORY;
  const look = (): void => {
    // While processes are replaced their load says nothing; and two hands on the same number would be one too many.
    if (pool.rolling) return;
    const serving = pool.members.filter(({ ready, draining }) => ready && !draining);
    const reports = serving.flatMap((member) => {
      const report = member.report(FRESH_MS);
      return report === null ? [] : [{ member, ...report }];
    });
    const samples = reports.map(({ sample }) => sample);
    const observed = { processes: pool.wanted, samples };
    const { processes, state, cause } = decide(history, observed, policy, performance.now());
    history = state;
    if (processes !== pool.wanted) {
      log.info({ from: pool.wanted, to: processes, cause }, 'the number of gateway processes changes');
      pool.resize(processes);
    }
    const connections = new Map(reports.map(({ member, connections: count }) => [member.slot, count]));
    for (const [slot, count] of rebalance(connections)) {
      reports.find(({ member }) => member.slot === slot)?.member.tell({ kind: 'shed', connections: count });
    }
  };
  const timer = setInterval(look, LOOK_MS);

  return {
    async roll() {
      log.info({}, 'rolling restart');
      const all = await pool.roll();
      history = NO_HISTORY;
      if (all) log.info({}, 'every gateway process was replaced');
      return all;
    },
    stop() {
      clearInterval(timer);
      return pool.stop();
    },
  };
}

function ownMetrics({ wanted, members, restarts }: ProcessPool): string {
  const ready = members.filter((member) => member.ready && !member.draining).length;
  const lines = [
    '# HELP slipway_gateway_processes Gateway processes of this machine.',
    '# TYPE slipway_gateway_processes gauge',
    `slipway_gateway_processes{state="wanted"} ${wanted}`,
    `slipway_gateway_processes{state="ready"} ${ready}`,
    '# HELP slipway_gateway_process_restarts_total Times that a process was started again after it crashed.',
    '# TYPE slipway_gateway_process_restarts_total counter',
    ...[...restarts].map(
      ([slot, count]) => `slipway_gateway_process_restarts_total{process="${slot}"} ${count}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}
