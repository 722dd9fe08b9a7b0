import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import type { PredictionRow } from '../../domain/rollout/arm-window.ts';
import { GatewayFixture, eventually } from './gateway-fixture.ts';
import type { Client } from './gateway-fixture.ts';

describe('gateway: experiments', () => {
  let fixture: GatewayFixture;
  let client: Client;
  let champion: VersionDescriptor;
  let challenger: VersionDescriptor;

  before(async () => {
    fixture = await GatewayFixture.create();
    champion = await fixture.version('linear');
    challenger = await fixture.version('shifted');
    fixture.control.route({ champion });
    client = await fixture.start();
    await client.ready();
  });
  after(() => fixture.remove());

  const shares = (a: number, version = 1): void => {
    fixture.control.route({
      champion,
      experiment: {
        arms: [
          { name: 'control', version: champion, bp: a },
          { name: 'b', version: challenger, bp: 10_000 - a },
        ],
        version,
      },
    });
  };
  const armsOf = async (users: number): Promise<Map<string, string>> => {
    const arms = new Map<string, string>();
    for (let i = 0; i < users; i += 1) {
      const unit = `user-${i}`;
      arms.set(unit, (await client.predict([1, 2, 3], unit)).body.parameters.arm);
    }
    return arms;
  };
  const served = (): Promise<void> =>
    eventually(async () => {
      const { body } = await client.predict();
      return body.parameters.arm.startsWith('exp:');
    }, 'the experiment is served');

  it('answers each user with the version of one arm, and logs which arm with which probability', async () => {
    shares(5000);
    await served();
    await eventually(() => fixture.control.lastAck?.versions[challenger.digest]?.state === 'ready', 'loaded');
    const first = await armsOf(60);
    assert.deepEqual(new Set(first.values()), new Set(['exp:control', 'exp:b']));
    assert.deepEqual(await armsOf(60), first, 'sticky');
    const inExperiment = (): PredictionRow[] =>
      fixture.control.flushes
        .flatMap(({ predictions }) => predictions)
        .filter(({ arm }) => arm.startsWith('exp:'));
    await eventually(() => inExperiment().length >= 120, 'predictions are stored');
    for (const { experiment, propensity, arm, version } of inExperiment()) {
      assert.deepEqual([experiment, propensity], ['prices', 0.5]);
      assert.equal(version, arm === 'exp:b' ? challenger.digest : champion.digest);
    }
  });

  it('follows a new allocation without a new route, and ends with the route', async () => {
    shares(10_000, 2);
    await eventually(async () => {
      const arms = new Set((await armsOf(20)).values());
      return arms.size === 1 && arms.has('exp:control');
    }, 'everybody is in the control arm');
    fixture.control.route({ champion });
    await eventually(
      async () => (await client.predict()).body.parameters.arm === 'champion',
      'the champion answers',
    );
  });
});
