import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { applyChange, versionsOf } from '../../../domain/routing/route.ts';
import type { Route, RouteChange } from '../../../domain/routing/route.ts';

const empty: Route = {
  endpoint: 'e',
  generation: 1,
  epoch: 1,
  champion: 'A',
  candidate: null,
  standby: null,
  experiment: null,
};

const version = fc.constantFrom('A', 'B', 'C');
const share = fc.integer({ min: -1, max: 10_001 });
const change: fc.Arbitrary<RouteChange> = fc.oneof(
  fc.record({
    kind: fc.constant('prepare' as const),
    version,
    salt: fc.constant('s'),
    leaseMs: fc.constant(5000),
  }),
  fc.record({ kind: fc.constant('shadow' as const), version, mirrorBp: share }),
  fc.record({ kind: fc.constant('canary' as const), version, weightBp: share }),
  fc.record({ kind: fc.constant('promote' as const), version, standbyUntilMs: fc.constant(9) }),
  fc.record({ kind: fc.constant('restore' as const) }),
  fc.record({ kind: fc.constant('rollback' as const), version, standbyUntilMs: fc.constant(9) }),
  fc.record({ kind: fc.constant('bootstrap' as const), version }),
  fc.array(version, { minLength: 2, maxLength: 3 }).map((versions) => ({
    kind: 'experiment' as const,
    experiment: {
      name: 'x',
      arms: versions.map((digest, i) => ({ name: `arm-${i}`, version: digest })),
      sticky: true,
      salt: 's',
      leaseMs: 5000,
    },
  })),
);

function follow(route: Route, next: RouteChange): Route {
  try {
    return { ...route, ...applyChange(route, next), generation: route.generation + 1 };
  } catch (error) {
    assert.ok(error instanceof SlipwayError, String(error));
    return route;
  }
}

describe('route changes', () => {
  it('whatever the order, there is one champion, a candidate is never the champion, and shares stay in range', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const route = changes.reduce(follow, empty);
        assert.ok(['A', 'B', 'C'].includes(route.champion));
        if (route.experiment !== null) {
          assert.equal(route.candidate, null, 'a rollout ends the experiment');
          const { arms } = route.experiment;
          assert.ok(
            arms.some((arm) => arm.version === route.champion),
            'the champion is one of the arms',
          );
        }
        if (route.candidate === null) return;
        assert.notEqual(route.candidate.version, route.champion);
        assert.ok(route.candidate.weightBp >= 0 && route.candidate.weightBp <= 10_000);
        assert.ok(
          route.candidate.weightBp === 0 || route.candidate.mirrorBp === 0,
          'a canary is not also a shadow',
        );
      }),
    );
  });

  it('nothing gets traffic that was not prepared first', () => {
    for (const kind of ['shadow', 'canary', 'promote'] as const) {
      const next = { kind, version: 'B', mirrorBp: 1, weightBp: 1, standbyUntilMs: 1 } as RouteChange;
      assert.throws(
        () => applyChange(empty, next),
        (error: unknown) => error instanceof SlipwayError && error.code === 'WRONG_PHASE',
      );
    }
  });

  it('a promotion keeps the former champion as standby, and a rollback swaps them', () => {
    const prepared = follow(empty, { kind: 'prepare', version: 'B', salt: 's', leaseMs: 5000 });
    const promoted = follow(prepared, { kind: 'promote', version: 'B', standbyUntilMs: 7 });
    assert.deepEqual(
      [promoted.champion, promoted.standby, promoted.candidate],
      ['B', { version: 'A', untilMs: 7 }, null],
    );
    const back = follow(promoted, { kind: 'rollback', version: 'A', standbyUntilMs: 9 });
    assert.deepEqual(
      [back.champion, back.standby, back.candidate],
      ['A', { version: 'B', untilMs: 9 }, null],
    );
    assert.deepEqual(versionsOf(back), ['A', 'B']);
  });

  it('a bootstrap works only where there is no champion, everything else only where there is one', () => {
    assert.equal(applyChange(null, { kind: 'bootstrap', version: 'A' }).champion, 'A');
    assert.throws(() => applyChange(empty, { kind: 'bootstrap', version: 'B' }));
    assert.throws(
      () => applyChange(null, { kind: 'restore' }),
      (error: unknown) => error instanceof SlipwayError && error.code === 'NO_CHAMPION',
    );
  });
});
