import assert from 'node:assert/strict';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readPredictions, readRows } from '../../data/index.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ParameterValue } from '../../domain/manifest/model-manifest.ts';
import type { TrainerJob } from '../../domain/training/index.ts';
import {
  FEATURES,
  hasCheckpoint,
  isCheckpoint,
  model,
  openTrainingFixture,
  snapshotExample,
  TARGET,
} from './training.ts';
import type { TrainingFixture } from './training.ts';

const SMALL = { trees: 20, max_depth: 3, checkpoint_every: 5 } as const;

async function run(bytes: Buffer, values: Float32Array): Promise<{ scores: Float32Array; labels: bigint[] }> {
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4 });
  try {
    const rows = values.length / FEATURES.length;
    const output = await session.run({
      features: new Tensor('float32', values, [rows, FEATURES.length]),
    });
    return {
      scores: Float32Array.from(output['score']!.data as Float32Array),
      labels: [...(output['label']!.data as BigInt64Array)],
    };
  } finally {
    await session.release();
  }
}

/** Largest difference between the trainer's own scores and ONNX Runtime's on the same inputs. */
async function goldenError(job: TrainerJob): Promise<number> {
  const heldOut = await readPredictions(join(job.outputFolder, 'predictions.parquet'), FEATURES.length);
  const { scores, labels } = await run(await model(job), heldOut.values);
  assert.deepEqual(labels.map(Number), [...heldOut.predicted]);
  return scores.reduce((worst, score, row) => Math.max(worst, Math.abs(score - heldOut.scores[row]!)), 0);
}

describe('gradient-boosting trainer', () => {
  let training: TrainingFixture;
  before(async function () {
    // The first run on a machine downloads the packages.
    this.timeout(600_000);
    training = await openTrainingFixture();
  });
  after(() => training.close());

  const refuses = async (
    parameters: Readonly<Record<string, ParameterValue>>,
    reason: RegExp,
  ): Promise<void> => {
    await assert.rejects(training.launch(training.job('refused', parameters)), (error) => {
      assert.ok(error instanceof SlipwayError);
      assert.equal(error.code, 'TRAINER_REJECTED_JOB');
      assert.match(error.message, reason);
      return true;
    });
  };

  it('gives the same bytes for the same job, and others for another seed', async () => {
    const [first, second, other] = [
      training.job('first', SMALL),
      training.job('second', SMALL),
      training.job('other', SMALL, 8),
    ];
    for (const job of [first, second, other]) await training.launch(job);
    for (const name of ['model.onnx', 'metrics.json', 'predictions.parquet']) {
      const [a, b] = [first, second].map(({ outputFolder }) => readFile(join(outputFolder, name)));
      assert.deepEqual(await a, await b, name);
    }
    assert.notDeepEqual(await model(first), await model(other));
  });

  it('exports a model that agrees with XGBoost to 1e-6, for every kind of graph', async () => {
    const kinds: Record<string, Record<string, ParameterValue>> = {
      plain: {},
      subset: { features: ['nswprice', 'period'] },
      scaled: { standardize: ['nswprice', 'nswdemand'], features: 'nswdemand,nswprice' },
      'scaled-upstream': { standardize: ['nswprice'], scaler_in_graph: false },
      bucketed: { bucket_feature: 'nswdemand', features: ['period', 'nswprice'] },
    };
    for (const [name, parameters] of Object.entries(kinds)) {
      const job = training.job(`kind-${name}`, { ...SMALL, ...parameters });
      await training.launch(job);
      const error = await goldenError(job);
      assert.ok(error <= 1e-6, `${name}: ${error}`);
    }
  });

  it('holds out the last rows in time and hands their inputs on as the model gets them', async () => {
    const job = training.job('held-out', { ...SMALL, holdout: 0.25 });
    const { result } = await training.launch(job);
    const all = await readRows(training.data, FEATURES, TARGET);
    const heldOut = await readPredictions(join(job.outputFolder, 'predictions.parquet'), FEATURES.length);
    assert.deepEqual(result.rows, { train: all.count - heldOut.count, heldOut: heldOut.count });
    assert.equal(heldOut.count, Math.round(all.count / 4));
    assert.deepEqual(heldOut.rowNumbers, all.rowNumbers.slice(-heldOut.count));
    assert.deepEqual(heldOut.labels, all.labels.slice(-heldOut.count));
    assert.deepEqual(heldOut.values, all.values.slice(-heldOut.count * FEATURES.length));
  });

  it('with the scaler left out of the graph agrees on its own inputs but not on raw rows', async () => {
    const parameters = {
      ...SMALL,
      learning_rate: 0.3,
      features: ['period', 'nswprice'],
      standardize: ['period', 'nswprice'],
    };
    const skewed = training.job('skewed', { ...parameters, scaler_in_graph: false });
    const whole = training.job('whole', parameters);
    await training.launch(skewed);
    await training.launch(whole);
    assert.ok((await goldenError(skewed)) <= 1e-6);
    const raw = await readPredictions(join(whole.outputFolder, 'predictions.parquet'), FEATURES.length);
    const right = await run(await model(whole), raw.values);
    const wrong = await run(await model(skewed), raw.values);
    const far = right.scores.filter((score, row) => Math.abs(score - wrong.scores[row]!) > 0.3).length;
    assert.ok(far > raw.count / 4, `${far} of ${raw.count} rows differ`);
  });

  it('with a bucket table fails in ONNX Runtime on a value beyond what it was trained on', async () => {
    const job = training.job('bucketed', { ...SMALL, bucket_feature: 'vicdemand' });
    await training.launch(job);
    const later = join(training.folder, 'later.parquet');
    await snapshotExample(later);
    const rows = await readRows(later, FEATURES, TARGET);
    // vicdemand is constant before row 17,424; the bucket of 0.45 is the first one beyond the table.
    const column = FEATURES.indexOf('vicdemand');
    const width = FEATURES.length;
    const at = (row: number): Float32Array => rows.values.slice(row * width, (row + 1) * width);
    const beyond = rows.rowNumbers.findIndex((_, row) => rows.values[row * width + column]! >= 0.45);
    assert.ok(rows.rowNumbers[beyond]! > 17_424);
    const bytes = await model(job);
    await assert.rejects(run(bytes, at(beyond)), /out of data bounds/);
    await run(bytes, at(0));
  });

  it('refuses what can never succeed with exit 64 and every reason', async () => {
    await refuses({ ...SMALL, tree: 3, depth: 1 }, /unknown parameter tree;.*unknown parameter depth/);
    await refuses({ trees: 0 }, /trees must be from 1/);
    await refuses({ trees: 2.5 }, /trees must be of type integer/);
    await refuses({ features: ['price'] }, /features names price/);
    await refuses({ standardize: ['vicdemand'], features: ['period'] }, /not among the features used/);
    await refuses({ device: 'tpu' }, /device must be one of cpu, cuda/);
    const job = { ...training.job('no-target', SMALL), target: 'price' };
    await assert.rejects(training.launch(job), { code: 'TRAINER_REJECTED_JOB' });
  });

  describe('interrupted and started again', () => {
    const parameters = { trees: 300, max_depth: 4, checkpoint_every: 10, subsample: 0.7 };
    let undisturbed: Buffer;
    before(async () => {
      const job = training.job('undisturbed', parameters);
      await training.launch(job);
      undisturbed = await model(job);
    });

    /** Interrupts at the third checkpoint. @returns what it logged then, and after it was started again */
    const interrupt = async (job: TrainerJob, graceMs: number): Promise<[string[], string[]]> => {
      const stop = new AbortController();
      const logged: [string[], string[]] = [[], []];
      await assert.rejects(
        training.launch(job, {
          graceMs,
          signal: stop.signal,
          onEvent: (event) => {
            if (event.event === 'log') logged[0].push(event.message);
            if (isCheckpoint(event, 30)) stop.abort();
          },
        }),
        { name: 'AbortError' },
      );
      assert.ok(hasCheckpoint(job));
      await training.launch(job, {
        onEvent: (event) => event.event === 'log' && logged[1].push(event.message),
      });
      return logged;
    };

    it('by SIGKILL, gives the bytes of an undisturbed run', async () => {
      const job = training.job('killed', parameters);
      const [, second] = await interrupt(job, 0);
      assert.match(second[0] ?? '', /^resumed at tree [1-9]/);
      assert.ok(undisturbed.equals(await model(job)));
    });

    it('by SIGTERM, leaves by itself with a checkpoint and gives those bytes too', async () => {
      const job = training.job('stopped', parameters);
      const [first, second] = await interrupt(job, 20_000);
      assert.match(first.at(-1) ?? '', /stopped on request/);
      assert.match(second[0] ?? '', /^resumed at tree [1-9]/);
      assert.ok(undisturbed.equals(await model(job)));
    });
  });

  it('does not use the checkpoint of another job or a damaged one', async () => {
    const job = training.job('reused', SMALL);
    await training.launch(job);
    const alone = training.job('alone', { ...SMALL, learning_rate: 0.2 });
    await training.launch(alone);
    const reused = { ...job, parameters: { ...SMALL, learning_rate: 0.2 } };
    assert.match(await firstLog(reused), /the checkpoint is of another job/);
    assert.ok((await model(alone)).equals(await model(reused)));
    await appendFile(join(reused.checkpointFolder, 'checkpoint.slipway'), 'x');
    assert.match(await firstLog(reused), /the checkpoint is damaged/);
    assert.ok((await model(alone)).equals(await model(reused)));
  });

  async function firstLog(job: TrainerJob): Promise<string> {
    const messages: string[] = [];
    await training.launch(job, { onEvent: (event) => event.event === 'log' && messages.push(event.message) });
    return messages[0] ?? '';
  }
});
