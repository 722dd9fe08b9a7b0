import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { after, before, describe, it } from 'mocha';
import { SlipwayError } from '../../domain/errors.ts';
import type { TrainerEvent, TrainerJob } from '../../domain/training/index.ts';
import { projectRoot } from '../../platform/root.ts';
import { launchTrainer } from '../../trainers/index.ts';

/** A trainer in a few lines of shell: the contract does not ask for Python. */
const GOOD = `out=$(sed -n 's/.*"outputFolder": "\\(.*\\)",*/\\1/p' "$2")
cd "$out"
printf model > model.onnx; printf '{"auc": 0.9}' > metrics.json; printf rows > predictions.parquet
entry() { printf '"%s":{"sha256":"%s","size":%s}' "$1" "$(sha256sum "$1" | cut -d' ' -f1)" "$(wc -c < "$1" | tr -d ' ')"; }
printf '{"contract":1,"jobId":"job","trainer":{"name":"shell","version":"1"},"seed":1,"parameters":{},"features":["a"],"rows":{"train":2,"heldOut":1},"environment":{},"files":{%s,%s,%s}}' "$(entry model.onnx)" "$(entry metrics.json)" "$(entry predictions.parquet)" > result.json`;

async function until(condition: () => boolean, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) return false;
    await delay(20);
  }
  return true;
}

/** A killed process that its new parent has not collected yet is not running any more. */
function isRunning(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim();
  return state !== '' && !state.startsWith('Z');
}

describe('process launcher', () => {
  let folder: string;
  let job: TrainerJob;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-launcher-'));
    job = {
      jobId: 'job',
      data: join(folder, 'none.parquet'),
      features: ['a'],
      target: 'y',
      parameters: {},
      seed: 1,
      outputFolder: join(folder, 'output'),
      checkpointFolder: join(folder, 'checkpoints'),
    };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const launch = (
    script: string,
    options: { signal?: AbortSignal; graceMs?: number; onEvent?: (event: TrainerEvent) => void } = {},
  ) =>
    launchTrainer({
      command: '/bin/sh',
      args: ['-c', script, 'trainer'],
      environment: { PATH: '/usr/bin:/bin' },
      job,
      onEvent: () => undefined,
      ...options,
    });
  const fails = async (script: string, code: string, message: RegExp, internal?: RegExp): Promise<void> => {
    await assert.rejects(launch(script), (error) => {
      assert.ok(error instanceof SlipwayError, String(error));
      assert.equal(error.code, code);
      assert.match(`${error.message} ${JSON.stringify(error.problems)}`, message);
      if (internal !== undefined) assert.match(error.internal ?? '', internal);
      return true;
    });
  };

  it('hands on events in order and outputs that keep the contract', async () => {
    const events: TrainerEvent[] = [];
    const script = `echo '{"event":"progress","fraction":0.5,"message":"half"}'; echo plain text; echo '{"event":"metric","name":"auc","value":0.9,"step":3}'; echo '{"event":"checkpoint","path":"x","step":3}'; ${GOOD}`;
    const { metrics, result, files } = await launch(script, { onEvent: (event) => events.push(event) });
    assert.deepEqual(events, [
      { event: 'progress', fraction: 0.5, message: 'half' },
      { event: 'log', level: 'info', message: 'plain text' },
      { event: 'metric', name: 'auc', value: 0.9, step: 3 },
      { event: 'checkpoint', path: 'x', step: 3 },
    ]);
    assert.deepEqual(metrics, { auc: 0.9 });
    assert.equal(result.trainer.name, 'shell');
    assert.equal(await readFile(files['model.onnx'], 'utf8'), 'model');
  });

  it('tells exit 64, which is not tried again, from every other exit', async () => {
    await fails(
      'echo detail >&2; echo no such column >&2; exit 64',
      'TRAINER_REJECTED_JOB',
      /no such column/,
    );
    await fails(
      'echo secret detail >&2; exit 3',
      'TRAINER_FAILED',
      /^(?!.*secret).*exit code 3/,
      /secret detail/,
    );
    await fails('kill -KILL $$', 'TRAINER_FAILED', /SIGKILL/);
    await fails('exec /no/such/program', 'TRAINER_FAILED', /exit code 127/);
  });

  it('refuses outputs that break the contract, naming file and reason', async () => {
    await fails('exit 0', 'TRAINER_CONTRACT', /model\.onnx.*is missing.*result\.json.*is missing/s);
    await fails(`${GOOD}; printf more >> model.onnx`, 'TRAINER_CONTRACT', /\/files\/model\.onnx/);
    await fails(`${GOOD}; rm predictions.parquet`, 'TRAINER_CONTRACT', /predictions\.parquet.*is missing/);
    await fails(`${GOOD}; ln -sf metrics.json model.onnx`, 'TRAINER_CONTRACT', /model\.onnx.*is missing/);
    await fails(
      GOOD.replace('{"auc": 0.9}', '{"auc": "good"}'),
      'TRAINER_CONTRACT',
      /\/auc.*must be a finite number/,
    );
    await fails(GOOD.replace('"jobId":"job"', '"jobId":"other"'), 'TRAINER_CONTRACT', /is of another job/);
  });

  it('does not take the outputs of an earlier attempt for those of this one', async () => {
    await launch(GOOD);
    await fails('exit 0', 'TRAINER_CONTRACT', /is missing/);
  });

  it('stops a trainer that prints what is no event of the contract', async () => {
    const startedAt = performance.now();
    const start = `echo '{"event":"progress","fraction":2,"message":""}'; exec sleep 30`;
    await fails(start, 'TRAINER_CONTRACT', /fraction from 0 to 1/);
    await fails(`echo '{"event":"metrics"}'; exec sleep 30`, 'TRAINER_CONTRACT', /unknown event/);
    await fails(
      `head -c 2000000 /dev/zero | tr '\\0' x; exec sleep 30`,
      'TRAINER_CONTRACT',
      /line over 1048576/,
    );
    assert.ok(performance.now() - startedAt < 10_000);
  });

  it('stops the trainer when its listener throws, and hands that error on', async () => {
    const lost = new Error('heartbeat lost');
    const listener = (): void => {
      throw lost;
    };
    await assert.rejects(
      launch(`echo text; exec sleep 30`, { onEvent: listener }),
      (error) => error === lost,
    );
  });

  it('ends a trainer that ignores SIGTERM after the grace, and what it had started with it', async () => {
    const stop = new AbortController();
    const pids: number[] = [];
    const running = launch(`trap '' TERM; sleep 30 & echo $!; echo $$; wait; sleep 30`, {
      signal: stop.signal,
      graceMs: 200,
      onEvent: (event) => {
        if (event.event !== 'log') return;
        if (pids.push(Number(event.message)) === 2) stop.abort();
      },
    });
    await assert.rejects(running, { name: 'AbortError' });
    assert.equal(pids.length, 2);
    assert.ok(await until(() => !pids.some(isRunning), 2000), 'both are gone');
  });

  it('does not start for a signal that is aborted already', async () => {
    await assert.rejects(launch('exit 0', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  it('gives the trainer none of its own environment', async () => {
    const seen: string[] = [];
    const script = `env; ${GOOD}`;
    await launch(script, { onEvent: (event) => event.event === 'log' && seen.push(event.message) });
    // PWD and _ are the shell's own.
    const names = seen.map((line) => line.split('=')[0]).filter((name) => name !== 'PWD' && name !== '_');
    assert.deepEqual(names, ['PATH']);
  });

  it('does not let the trainer outlive a launcher that was killed', async () => {
    const module = pathToFileURL(join(projectRoot(), 'dist', 'trainers', 'index.js')).href;
    const program = join(folder, 'launcher.mjs');
    await writeFile(
      program,
      `import { launchTrainer } from ${JSON.stringify(module)};
       await launchTrainer({ command: '/bin/sh', args: ['-c', 'sleep 60 & echo $!; echo $$; wait', 'trainer'],
         environment: { PATH: '/usr/bin:/bin' }, job: ${JSON.stringify(job)},
         onEvent: (event) => console.log(event.message) });`,
    );
    const launcher = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    launcher.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    assert.ok(await until(() => printed.split('\n').length === 3, 10_000), 'the trainer runs');
    const pids = printed.trim().split('\n').map(Number);
    assert.ok(pids.every(isRunning));
    launcher.kill('SIGKILL');
    assert.ok(await until(() => !pids.some(isRunning), 1000), 'trainer and child are gone within a second');
  });
});
