import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import type { ParameterValue } from '../../domain/manifest/model-manifest.ts';
import { resolveParameters } from '../../domain/training/index.ts';
import { findTrainer, readTrainers, trainerCodeDigest } from '../../trainers/index.ts';

describe('trainer registry', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-registry-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const { descriptor } = findTrainer('gradient-boosting');

  it('turns text from a command line into the types that the trainer states', () => {
    const given = {
      trees: '200',
      learning_rate: '5e-2',
      features: 'period, nswprice',
      scaler_in_graph: 'false',
      device: 'cuda',
    };
    assert.deepEqual(resolveParameters(descriptor, given), {
      ok: true,
      values: {
        trees: 200,
        learning_rate: 0.05,
        features: ['period', 'nswprice'],
        scaler_in_graph: false,
        device: 'cuda',
      },
    });
  });

  it('refuses every wrong parameter at once, by name', () => {
    const given = { tree: '3', trees: 'many', device: 'tpu', holdout: 2, features: 'a,,b', toString: '1' };
    const resolved = resolveParameters(descriptor, given);
    assert.ok(!resolved.ok);
    assert.deepEqual(
      resolved.problems.map(({ path }) => path),
      ['/tree', '/trees', '/device', '/holdout', '/features', '/toString'],
    );
    assert.match(resolved.problems[0]!.reason, /has no parameter tree; it knows trees/);
  });

  it('passes what it has resolved already (a retry resolves again)', () => {
    const rules = Object.entries(descriptor.parameters);
    const value: fc.Arbitrary<[string, ParameterValue]> = fc
      .constantFrom(...rules)
      .chain(([name, rule]): fc.Arbitrary<[string, ParameterValue]> => {
        if (rule.type === 'integer') {
          return fc.integer({ min: rule.min, max: rule.max }).map((number) => [name, String(number)]);
        }
        if (rule.type === 'number') {
          const bounds = { min: rule.min, max: rule.max, noNaN: true };
          return fc.double(bounds).map((number) => [name, String(number)]);
        }
        return fc.constant([name, rule.default]);
      });
    fc.assert(
      fc.property(fc.array(value), (entries) => {
        const once = resolveParameters(descriptor, Object.fromEntries(entries));
        assert.ok(once.ok, JSON.stringify(once));
        assert.deepEqual(resolveParameters(descriptor, once.values), once);
      }),
    );
  });

  it('names an unknown trainer and those that it knows', () => {
    assert.throws(() => findTrainer('neural'), {
      code: 'NOT_FOUND',
      message: /neural; known: gradient-boosting/,
    });
  });

  it('refuses a trainer.json that is wrong, whole', async () => {
    const copy = join(folder, 'wrong');
    await cp(findTrainer('gradient-boosting').folder, join(copy, 'trainer'), { recursive: true });
    const wrong = { ...descriptor, contract: 2, parameters: { trees: { type: 'int', description: '' } } };
    await writeFile(join(copy, 'trainer', 'trainer.json'), JSON.stringify(wrong));
    assert.throws(
      () => readTrainers(copy),
      (error: { code?: string; problems?: { path: string }[] }) => {
        assert.equal(error.code, 'TRAINER_CONTRACT');
        assert.deepEqual(
          error.problems?.map(({ path }) => path),
          ['/contract', '/parameters/trees/type'],
        );
        return true;
      },
    );
  });

  it('gives a code digest that follows the code and ignores what Python caches', async () => {
    const original = findTrainer('gradient-boosting');
    const copy = join(folder, 'copy', 'gradient-boosting');
    await cp(original.folder, copy, { recursive: true });
    const [trainer] = readTrainers(join(folder, 'copy'));
    assert.equal(trainerCodeDigest(trainer!), trainerCodeDigest(original));
    await cp(join(copy, 'trainer.json'), join(copy, 'slipway_gradient_boosting', '__pycache__', 'x.pyc'));
    assert.equal(trainerCodeDigest(trainer!), trainerCodeDigest(original));
    await writeFile(join(copy, 'slipway_gradient_boosting', 'extra.py'), '');
    assert.notEqual(trainerCodeDigest(trainer!), trainerCodeDigest(original));
  });
});
