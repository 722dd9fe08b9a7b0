import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { databaseFailure } from '../../db/failure.ts';
import { openDatabase } from '../../db/index.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { withCode } from './registry-fixture.ts';

const driverError = (code: string, message = 'secret table'): Error =>
  Object.assign(new Error(message), { code });

describe('failures of PostgreSQL', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['SW001', 'IMMUTABLE'],
    ['08006', 'UNAVAILABLE'],
    ['57P01', 'UNAVAILABLE'],
    ['57014', 'UNAVAILABLE'],
    ['53300', 'UNAVAILABLE'],
    ['40P01', 'UNAVAILABLE'],
    ['55P03', 'UNAVAILABLE'],
    ['ECONNREFUSED', 'UNAVAILABLE'],
    ['22P05', 'INVALID_REQUEST'],
    ['23505', 'INTERNAL'],
    ['42P01', 'INTERNAL'],
  ];
  for (const [state, code] of cases) {
    it(`${state} is ${code}, also when it is wrapped`, () => {
      for (const error of [driverError(state), new Error('query failed', { cause: driverError(state) })]) {
        const failure = databaseFailure(error);
        assert.ok(withCode(code)(failure));
        assert.ok(failure instanceof SlipwayError && failure.internal?.includes(state));
        if (code !== 'IMMUTABLE') assert.ok(!failure.message.includes('secret'), 'the caller never sees SQL');
      }
    });
  }

  it("Slipway's own errors pass through", () => {
    const own = new SlipwayError('EPOCH_FENCED', 'fenced');
    assert.equal(databaseFailure(new Error('rolled back', { cause: own })), own);
  });

  it('a server that is not there is UNAVAILABLE, and says what to do', async () => {
    const db = openDatabase({ databaseUrl: 'postgres://nobody@127.0.0.1:1/none', applicationName: 'test' });
    await assert.rejects(
      db.read((orm) => orm.execute('select 1')),
      withCode('UNAVAILABLE'),
    );
    await assert.rejects(
      db.transaction((tx) => tx.execute('select 1')),
      withCode('UNAVAILABLE'),
    );
    await db.close();
  });
});
