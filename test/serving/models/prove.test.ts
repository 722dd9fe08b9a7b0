import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { createSession, runSessionLate, inputTensor } from '../../../serving/models/onnx.ts';
import { proveModel } from '../../../serving/models/prove-model.ts';
import { sampleRow, sampleRows } from '../../../serving/models/sample-rows.ts';
import { modelBytes } from '../gateway-fixture.ts';
import type { ModelName } from '../gateway-fixture.ts';
import { SPEC } from '../control-plane.ts';

describe('proving a model before it serves', () => {
  async function prove(model: ModelName): ReturnType<typeof proveModel> {
    const session = await createSession(await modelBytes(model));
    try {
      return await proveModel(session, sampleRow(SPEC.features), sampleRows(SPEC.features));
    } finally {
      await session.release();
    }
  }

  it('measures what runs of three sizes cost, and how far scores differ between batch sizes', async () => {
    const { runMs, samples, noiseFloor } = await prove('linear');
    assert.deepEqual([...new Set(samples.map(({ rows }) => rows))], [1, 8, 64]);
    assert.ok(samples.length >= 8, 'enough for the cost model to start from');
    assert.ok(runMs > 0 && samples.every(({ ms }) => ms > 0));
    assert.ok(noiseFloor >= 0 && noiseFloor <= 1e-6, `noise floor ${noiseFloor}`);
  });

  it('refuses a model whose scores depend on the rows beside them: requests of strangers share a batch', async () => {
    await assert.rejects(prove('mixes-rows'), { code: 'MODEL_LOAD_FAILED', message: /rows beside it/ });
  });

  it('accepts a model that fails or gives no number on some rows that the contract allows', async () => {
    for (const model of ['fails-on-some', 'nan-on-some'] as const) assert.ok((await prove(model)).runMs > 0);
  });

  it('makes its rows within the bounds of the contract, different from each other', () => {
    const rows = sampleRows(SPEC.features);
    assert.equal(rows.length, 64 * 3);
    for (let row = 0; row < 64; row += 1) {
      for (const [column, { min = -Infinity, max = Infinity }] of SPEC.features.entries()) {
        const value = rows[row * 3 + column]!;
        assert.ok(value >= min && value <= max, `${value} of feature ${column}`);
      }
    }
    assert.ok(new Set(rows).size > 150);
  });

  it('lets rows be chosen when the run starts, which the batcher on the event loop builds on', async () => {
    const session = await createSession(await modelBytes('linear'));
    const placeholder = inputTensor(new Float32Array(3), 1);
    let late = false;
    const running = runSessionLate(session, placeholder, () => {
      late = true;
      return { features: Float32Array.of(1, 2, 3, 4, 5, 6), rows: 2 };
    });
    assert.equal(late, false, 'not asked for before the turn of the event loop ends');
    assert.equal((await running)?.scores.length, 2);
    assert.equal(await runSessionLate(session, placeholder, () => null), null);
    await assert.rejects(
      runSessionLate(session, placeholder, () => ({ features: new Float32Array(8), rows: 2 })),
      { code: 'INFERENCE_FAILED' },
    );
    await session.release();
  });
});
