import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';
import { createTrafficActivities } from '../../activities/traffic.ts';
import type { RouteStore, VersionStore } from '../../activities/ports.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { LiveGateway, VersionState } from '../../domain/rollout/arm-window.ts';
import type { Route } from '../../domain/routing/route.ts';
import { memoryRoutes, pulse } from './fakes.ts';

const route: Route = {
  endpoint: 'e',
  generation: 4,
  epoch: 2,
  champion: 'A',
  candidate: null,
  standby: null,
  experiment: null,
};
const code = (expected: ErrorCode) => (error: unknown) =>
  error instanceof SlipwayError && error.code === expected;

function gateway(id: string, generation: number, state?: VersionState): LiveGateway {
  const versions = state === undefined ? {} : { B: state };
  return { gatewayId: id, url: '', acknowledgement: { gatewayId: id, endpoint: 'e', generation, versions } };
}

function activities(routes: RouteStore, revoked: readonly string[] = []) {
  const versions = {
    isRevoked: (digest: string) => Promise.resolve(revoked.includes(digest)),
  } as VersionStore;
  return createTrafficActivities({ routes, versions, pulse: pulse() });
}

const prepare = { kind: 'prepare', version: 'B', salt: 's', leaseMs: 5000 } as const;
const write = { endpoint: 'e', actor: 'rollout', reason: 'test' };

describe('traffic activities', () => {
  it('a route change that runs twice leaves one effect and one answer', async () => {
    const routes = memoryRoutes(route);
    const { changeRoute } = activities(routes);
    const input = { ...write, epoch: 3, key: 'k', change: prepare, expectedGeneration: 4 };
    assert.deepEqual(await changeRoute(input), { generation: 5 });
    assert.deepEqual(await changeRoute(input), { generation: 5 });
    assert.equal((await routes.read('e'))?.generation, 5);
  });

  it('a retried advance that a rollback has overtaken fails instead of claiming success', async () => {
    const routes = memoryRoutes(route);
    const { changeRoute, restoreChampion } = activities(routes);
    const advance = { ...write, epoch: 3, key: 'advance', change: prepare, expectedGeneration: 4 };
    await changeRoute(advance);
    await restoreChampion({ ...write, epoch: 3, key: 'restore' });
    await assert.rejects(changeRoute(advance), code('EPOCH_FENCED'));
    assert.equal((await routes.read('e'))?.candidate, null);
  });

  it('restoring under an old epoch is a harmless success: somebody newer owns the endpoint', async () => {
    const { restoreChampion } = activities(memoryRoutes({ ...route, epoch: 9 }));
    assert.deepEqual(await restoreChampion({ ...write, epoch: 3, key: 'restore' }), { generation: null });
  });

  it('waits for every live gateway, and names those that are missing', async () => {
    const input = { endpoint: 'e', generation: 5, version: 'B', timeoutMs: 0 };
    const ready = { state: 'ready' } as const;
    const answer = await activities(
      memoryRoutes(route, [gateway('g1', 5, ready), gateway('g2', 6, ready)]),
    ).awaitGateways(input);
    assert.deepEqual(answer, { gateways: 2 });
    const behind = activities(memoryRoutes(route, [gateway('g1', 5, ready), gateway('g2', 4, ready)]));
    await assert.rejects(behind.awaitGateways(input), /g2 \(at 4\)/);
    const loading = activities(memoryRoutes(route, [gateway('g1', 5, { state: 'loading' })]));
    await assert.rejects(loading.awaitGateways(input), code('GATEWAY_NOT_ACKNOWLEDGED'));
    await assert.rejects(activities(memoryRoutes(route)).awaitGateways(input), /no gateway is alive/);
  });

  it('a version that a gateway refuses ends the wait at once, with its reason', async () => {
    const refused = {
      state: 'refused',
      code: 'SIGNATURE_INVALID',
      message: 'the signature does not match',
    } as const;
    const { awaitGateways } = activities(memoryRoutes(route, [gateway('g1', 4), gateway('g2', 5, refused)]));
    const waiting = awaitGateways({ endpoint: 'e', generation: 5, version: 'B', timeoutMs: 60_000 });
    await assert.rejects(
      waiting,
      (error: unknown) => code('CANDIDATE_REFUSED')(error) && /g2 refused/.test(String(error)),
    );
  });

  it('a rollback goes to the latest former champion that is not revoked, or nowhere', async () => {
    const ready = { state: 'ready' } as const;
    const loaded = (version: string): LiveGateway => {
      const acknowledgement = {
        gatewayId: 'g1',
        endpoint: 'e',
        generation: 4,
        versions: { [version]: ready },
      };
      return { gatewayId: 'g1', url: '', acknowledgement };
    };
    const routes = {
      ...memoryRoutes(route, [loaded('C')]),
      formerChampions: () => Promise.resolve(['C', 'D']),
    };
    assert.deepEqual(await activities(routes).chooseRollback({ endpoint: 'e' }), {
      from: 'A',
      to: 'C',
      standby: true,
    });
    assert.deepEqual(await activities(routes, ['C']).chooseRollback({ endpoint: 'e' }), {
      from: 'A',
      to: 'D',
      standby: false,
    });
    await assert.rejects(
      activities(routes, ['C', 'D']).chooseRollback({ endpoint: 'e' }),
      code('NO_FORMER_CHAMPION'),
    );
    await assert.rejects(
      activities(routes).chooseRollback({ endpoint: 'e', to: 'Z' }),
      code('NO_FORMER_CHAMPION'),
    );
    await assert.rejects(
      activities(memoryRoutes(null)).chooseRollback({ endpoint: 'e' }),
      code('NO_CHAMPION'),
    );
  });
});
