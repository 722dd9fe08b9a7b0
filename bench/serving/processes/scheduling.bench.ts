/**
 * How several processes should share one port: does the primary hand out connections in turn (`SCHED_RR`), or do the
 * processes accept from a shared socket (`SCHED_NONE`)? Measured: how a burst of 64 connections is divided, CPU time
 * per connection in the primary and in the processes, and what a killed process does to connections that are on their
 * way. Both run interleaved: `node dist/bench/serving/processes/scheduling.bench.js`.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(import.meta.url);
const PROCESSES = 2;
const PORT = 18_777;
const ROUNDS = 3;

interface MemberReport {
  readonly pid: number;
  readonly connections: number;
  readonly cpuUs: number;
}

interface Report {
  readonly primaryCpuUs: number;
  readonly members: readonly MemberReport[];
}

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** One that answers after a little work, as a model would. */
function runMember(): void {
  let connections = 0;
  const server = createServer((_request, response) => {
    let sum = 0;
    for (let i = 0; i < 60_000; i += 1) sum += i;
    response.end(String(sum));
  });
  server.on('connection', () => (connections += 1));
  process.on('message', () => {
    process.send?.({ pid: process.pid, connections, cpuUs: cpuUs() } satisfies MemberReport);
    connections = 0;
  });
  server.listen(PORT, '127.0.0.1', () => process.send?.('listening'));
}

async function runPrimary(mode: string): Promise<void> {
  cluster.schedulingPolicy = mode === 'turns' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  cluster.setupPrimary({ exec: PROGRAM, args: ['member'] });
  const workers = Array.from({ length: PROCESSES }, () => cluster.fork());
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  process.on('message', () => {
    const reports = workers.map(async (worker) => {
      const answer = once(worker, 'message') as Promise<[MemberReport]>;
      worker.send('report');
      return (await answer)[0];
    });
    void Promise.all(reports).then((members) =>
      process.send?.({ primaryCpuUs: cpuUs(), members } satisfies Report),
    );
  });
  process.send?.('ready');
}

function call(agent: Agent | false): Promise<'ok' | 'reset' | 'hang'> {
  return new Promise((resolve) => {
    let hung = false;
    const request = get({ host: '127.0.0.1', port: PORT, agent, timeout: 1500 }, (response) => {
      response.resume();
      response.on('end', () => resolve('ok'));
      response.on('error', () => resolve('reset'));
    });
    request.on('timeout', () => {
      hung = true;
      request.destroy();
    });
    request.on('error', () => resolve(hung ? 'hang' : 'reset'));
  });
}

const together = (callers: number, run: () => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: callers }, run));

async function ask(primary: ChildProcess): Promise<Report> {
  const answer = once(primary, 'message');
  primary.send('report');
  return ((await answer) as [Report])[0];
}

async function measure(mode: string): Promise<string> {
  const primary = fork(PROGRAM, [mode]);
  await once(primary, 'message');
  await ask(primary);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  await together(64, async () => {
    for (let i = 0; i < 20; i += 1) await call(agent);
  });
  agent.destroy();
  const burst = await ask(primary);
  await together(8, async () => {
    for (let i = 0; i < 250; i += 1) await call(false);
  });
  const single = await ask(primary);
  const perConnection = (total: number): string => (total / 2000).toFixed(0);
  const work = ({ members }: Report): number => members.reduce((sum, member) => sum + member.cpuUs, 0);

  const outcomes = { ok: 0, reset: 0, hang: 0 };
  const end = new AbortController();
  const churn = together(16, async () => {
    while (!end.signal.aborted) outcomes[await call(false)] += 1;
  });
  await delay(300);
  process.kill(single.members[0]!.pid, 'SIGKILL');
  await delay(900);
  end.abort();
  await churn;
  primary.kill('SIGKILL');
  for (const { pid } of single.members.slice(1)) process.kill(pid, 'SIGKILL');
  await delay(200);
  return [
    mode.padEnd(7),
    `burst of 64: ${burst.members.map(({ connections }) => connections).join(' / ')}`.padEnd(24),
    `per connection: primary ${perConnection(single.primaryCpuUs - burst.primaryCpuUs)} µs,`,
    `processes ${perConnection(work(single) - work(burst))} µs`,
    `· kill -9: ${outcomes.ok} ok, ${outcomes.reset} reset, ${outcomes.hang} hung`,
  ].join(' ');
}

const [role] = process.argv.slice(2);
if (cluster.isWorker) runMember();
else if (role !== undefined) await runPrimary(role);
else {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const mode of ['turns', 'shared']) console.log(await measure(mode));
  }
}
