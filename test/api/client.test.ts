import { strict as assert } from 'node:assert';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'mocha';

import { createApi } from '../../api/app.ts';
import { createApiClient } from '../../api/client.ts';
import type { ApiClient } from '../../api/client.ts';
import { keepStarting } from '../../api/release-starter.ts';
import type { ApiInstance } from '../../api/routes/api-instance.ts';
import { servingPeriods } from '../../api/serving-periods.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { Route } from '../../domain/routing/route.ts';
import { CANDIDATE, CHAMPION, TOKENS, fakePorts } from './fake-ports.ts';
import type { FakePorts } from './fake-ports.ts';
import { manifestSample } from './manifest-sample.ts';

const silent = { warn: () => undefined, info: () => undefined };
const refuses = (code: ErrorCode) => (error: unknown) => error instanceof SlipwayError && error.code === code;

describe('the API client over HTTP', () => {
  let ports: FakePorts;
  let app: ApiInstance;
  let url: string;
  let client: ApiClient;

  before(async () => {
    ports = fakePorts();
    app = await createApi({ ports });
    url = await app.listen({ host: '127.0.0.1', port: 0 });
    client = createApiClient({ url, token: TOKENS.operator });
  });
  beforeEach(() => {
    ports.broken = null;
  });
  after(() => app.close());

  it('reaches every route that the command line and the demo need', async () => {
    assert.equal((await client.apply('elec2', { manifest: manifestSample() })).changed, true);
    assert.equal((await client.models())[0]?.champion, CHAMPION);
    assert.equal((await client.model('elec2')).route?.generation, 3);
    assert.equal((await client.versions('elec2'))[0]?.number, 2);
    assert.equal((await client.createRelease({ model: 'elec2' })).started, true);
    assert.ok((await client.releases({ model: 'elec2', limit: 5 })).length > 0);
    assert.equal((await client.release('elec2/1')).live?.waitingFor, 'approval');
    assert.deepEqual(await client.decide('elec2/1', 'approve', { digest: CANDIDATE }), {
      approved: 1,
      needed: 1,
    });
    await client.command('elec2/1', 'pause', 'a look');
    assert.equal((await client.rollback('elec2', { reason: 'x', to: CHAMPION.slice(7, 19) })).to, CHAMPION);
    assert.equal((await client.version(CANDIDATE)).keyId.length, 64);
    assert.equal((await client.lineage('cccccccc')).served.length, 1);
    assert.equal((await client.verify(CANDIDATE)).servable, false);
    assert.equal((await client.revoke(CANDIDATE, 'x')).revoked, true);
    assert.equal((await client.audit({ stream: 'elec2', limit: 1 })).length, 1);
    assert.equal((await client.verifyAudit()).firstBad?.seq, 2);
    assert.equal((await client.startExperiment('elec2', 'prices')).open, true);
    const [listed] = await client.experiments('elec2');
    assert.deepEqual([listed?.name, listed?.status], ['prices', 'lost'], 'the route has no experiment');
    const shown = await client.experiment('elec2', 'prices');
    assert.deepEqual(
      shown.arms.map(({ shareBp, posterior }) => [shareBp, posterior]),
      [
        [5000, { a: 1, b: 1 }],
        [5000, { a: 1, b: 1 }],
      ],
    );
    assert.equal((await client.experimentHistory('elec2', 'prices', 5))[0]?.version, 1);
    assert.equal((await client.evaluatePolicy('elec2', 'prices', { b: 100 })).snips.value, 1);
    await assert.rejects(client.evaluatePolicy('elec2', 'prices', { c: 100 }), refuses('INVALID_PARAMETER'));
    await assert.rejects(client.evaluatePolicy('elec2', 'prices', { b: 90 }), refuses('INVALID_PARAMETER'));
    assert.equal((await client.stopExperiment('elec2', 'prices', 'enough')).end?.outcome, 'stopped');
    await assert.rejects(client.startExperiment('elec2', 'busy'), refuses('EXPERIMENT_RUNNING'));
    await assert.rejects(client.experiment('elec2', 'none'), refuses('EXPERIMENT_NOT_FOUND'));
    assert.equal((await client.rewards([{ predictionId: 'p', reward: 1 }])).accepted, 1);
    await assert.rejects(client.rewards([{ predictionId: 'p', reward: 2 }]), refuses('INVALID_REQUEST'));
    const tooMany = Array.from({ length: 1001 }, (_, i) => ({ predictionId: `p${i}`, reward: 0 }));
    await assert.rejects(client.rewards(tooMany), refuses('INVALID_REQUEST'));
    const viewer = createApiClient({ url, token: TOKENS.viewer });
    await assert.rejects(viewer.stopExperiment('elec2', 'prices', 'x'), refuses('FORBIDDEN'));
    const labels = [{ predictionId: 'p', label: 1, observedAt: '1997-05-07T00:00:00Z' }] as const;
    assert.equal((await client.labels(labels)).accepted, 1);
  });

  it('throws the error that the problem document names, with its problems', async () => {
    await assert.rejects(client.model('none'), refuses('MODEL_NOT_FOUND'));
    await assert.rejects(client.apply('elec2', { manifest: {} }), (error: unknown) => {
      assert.ok(error instanceof SlipwayError);
      assert.equal(error.code, 'INVALID_MANIFEST');
      return error.problems.some(({ path }) => path === '/spec');
    });
    await assert.rejects(
      createApiClient({ url, token: 'x'.repeat(20) }).models(),
      refuses('UNAUTHENTICATED'),
    );
    await assert.rejects(client.release('elec2'), refuses('INVALID_REQUEST'));
  });

  it('tells a server that is not there from one that is something else or too slow', async () => {
    const other = createServer((request, response) => {
      if (request.url !== '/v1/models') return;
      response.writeHead(200).end('<html>');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const elsewhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const slow = createApiClient({ url: elsewhere, token: TOKENS.operator, timeoutMs: 100 });
    await assert.rejects(slow.models(), refuses('INTERNAL'));
    await assert.rejects(slow.verifyAudit(), refuses('UNAVAILABLE'));
    other.closeAllConnections();
    await new Promise((resolve) => other.close(resolve));
    await assert.rejects(slow.models(), refuses('STACK_NOT_RUNNING'));
  });

  it('one idempotency key of one actor is one update; another actor with the same key is another', async () => {
    ports.calls.length = 0;
    for (const role of ['approver', 'approver', 'admin'] as const) {
      await app.inject({
        method: 'POST',
        url: '/v1/releases/elec2/1/approve',
        headers: { authorization: `Bearer ${TOKENS[role]}`, 'idempotency-key': 'k1' },
        payload: { digest: CANDIDATE },
      });
    }
    const ids = ports.calls.map(({ args }) => args[2]);
    assert.deepEqual(ids, ['approver/approve/k1', 'approver/approve/k1', 'admin/approve/k1']);
  });
});

describe('a release that Temporal did not hear of', () => {
  it('is kept, answered with started: false, and started as soon as Temporal answers', async () => {
    const ports = fakePorts();
    let away = true;
    const workflows = {
      ...ports.workflows,
      start: async (release: { readonly id: string }) => {
        if (away) throw new SlipwayError('UNAVAILABLE', 'the workflow engine does not answer');
        ports.calls.push({ port: 'start', args: [release.id] });
      },
    };
    const app = await createApi({ ports: { ...ports, workflows } });
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/releases',
      headers: { authorization: `Bearer ${TOKENS.engineer}` },
      payload: { model: 'elec2' },
    });
    await app.close();
    assert.equal(answer.statusCode, 202);
    assert.equal(answer.json<{ started: boolean }>().started, false);
    const starter = keepStarting({ releases: ports.releases, workflows }, silent, 10);
    away = false;
    for (let round = 0; round < 200 && ports.calls.length === 0; round++)
      await new Promise((r) => setTimeout(r, 5));
    await starter.close();
    assert.deepEqual(
      ports.calls,
      [{ port: 'start', args: ['elec2/2'] }],
      'once, and only the one that had not started',
    );
  });
});

describe('a release whose workflow was terminated', () => {
  it('is ended in the registry as well, once', async () => {
    const ports = fakePorts();
    const { id } = (await ports.releases.list({ limit: 1 }))[0]!;
    const workflows = {
      ...ports.workflows,
      endedFromOutside: async (asked: string) => (asked === id ? 'TERMINATED' : null),
    };
    const starter = keepStarting({ releases: ports.releases, workflows }, silent, 10);
    for (let round = 0; round < 200 && (await ports.releases.get(id)).outcome === null; round++) {
      await new Promise((r) => setTimeout(r, 5));
    }
    await starter.close();
    const { phase, outcome, reason } = await ports.releases.get(id);
    assert.deepEqual([phase, outcome], ['done', 'aborted']);
    assert.match(reason ?? '', /TERMINATED/);
  });
});

describe('when a version served', () => {
  const at = (champion: string, atMs: number): { after: Route; atMs: number } => ({
    after: {
      endpoint: 'elec2',
      generation: atMs,
      epoch: 1,
      champion,
      candidate: null,
      standby: null,
      experiment: null,
    },
    atMs,
  });

  it('is the times at which it was champion, each with its end, the last one open', () => {
    const history = [at('a', 1), at('a', 2), at('b', 3), at('a', 4), at('a', 5)];
    assert.deepEqual(servingPeriods(history, 'a'), [
      { endpoint: 'elec2', fromMs: 1, untilMs: 3 },
      { endpoint: 'elec2', fromMs: 4, untilMs: null },
    ]);
    assert.deepEqual(servingPeriods(history, 'b'), [{ endpoint: 'elec2', fromMs: 3, untilMs: 4 }]);
    assert.deepEqual(servingPeriods(history, 'c'), []);
  });
});
