import { strict as assert } from 'node:assert';
import * as fc from 'fast-check';
import { after, before, beforeEach, describe, it } from 'mocha';

import { createApi } from '../../api/app.ts';
import type { ApiInstance } from '../../api/routes/api-instance.ts';
import type { ProblemDocument } from '../../api/schemas/common.ts';
import { ERRORS, SlipwayError } from '../../domain/errors.ts';
import { CANDIDATE, CHAMPION, TOKENS, fakePorts } from './fake-ports.ts';
import type { FakePorts } from './fake-ports.ts';
import { manifestSample, manifestWith, onlineManifestSample } from './manifest-sample.ts';

const headers = { authorization: `Bearer ${TOKENS.operator}`, 'content-type': 'application/json' };

describe('bad input', () => {
  let ports: FakePorts;
  let app: ApiInstance;

  before(async () => {
    ports = fakePorts();
    app = await createApi({ ports });
    await app.ready();
  });
  beforeEach(() => {
    ports.broken = null;
  });
  after(() => app.close());

  const send = (method: 'POST' | 'PUT' | 'GET' | 'DELETE' | 'PATCH', url: string, payload?: unknown) =>
    app.inject({
      method,
      url,
      headers: payload === undefined ? { authorization: headers.authorization } : headers,
      ...(payload === undefined
        ? {}
        : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
    });

  const refused = async (
    method: 'POST' | 'PUT' | 'GET' | 'DELETE' | 'PATCH',
    url: string,
    payload?: unknown,
  ): Promise<ProblemDocument> => {
    const answer = await send(method, url, payload);
    const problem = answer.json<ProblemDocument>();
    assert.equal(
      answer.headers['content-type'],
      'application/problem+json',
      `${method} ${url}: ${answer.body}`,
    );
    assert.equal(answer.statusCode, problem.status);
    assert.equal(problem.status, ERRORS[problem.code].status);
    assert.equal(problem.type, `https://slipway.dev/errors/${problem.code}`);
    assert.equal(problem.title, ERRORS[problem.code].title);
    assert.match(problem.instance, /^urn:uuid:/);
    return problem;
  };

  const BODIES = [
    ['POST', '/v1/releases'],
    ['POST', '/v1/releases/elec2/1/approve'],
    ['POST', '/v1/releases/elec2/1/reject'],
    ['POST', '/v1/releases/elec2/1/pause'],
    ['POST', '/v1/releases/elec2/1/abort'],
    ['POST', '/v1/models/elec2/rollback'],
    ['POST', `/v1/versions/${CANDIDATE}/revoke`],
    ['POST', '/v1/labels'],
    ['PUT', '/v1/models/elec2'],
  ] as const;

  it('any JSON in any body gives a named 4xx or is taken, never a 5xx', async () => {
    const body = fc.oneof(
      fc.json(),
      fc
        .record(
          {
            model: fc.anything(),
            parameters: fc.anything(),
            digest: fc.anything(),
            reason: fc.anything(),
            labels: fc.oneof(
              fc.anything(),
              fc.array(fc.record({ predictionId: fc.anything(), label: fc.anything() })),
            ),
            manifest: fc.anything(),
            to: fc.anything(),
            __proto__: fc.anything(),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...BODIES), body, async ([method, url], payload) => {
        const answer = await send(method, url, payload);
        assert.ok(answer.statusCode < 500, `${method} ${url} ${payload}: ${answer.body}`);
        if (answer.statusCode >= 400) assert.ok(answer.json<ProblemDocument>().code in ERRORS);
      }),
      { numRuns: 600 },
    );
  });

  it('any text as a body, path or query gives a named 4xx, never a 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string(), async (text, segment) => {
        const path = encodeURIComponent(segment);
        const answers = [
          await send('POST', '/v1/releases', text),
          await send('GET', `/v1/models/${path}`),
          await send('GET', `/v1/releases/elec2/${path}`),
          await send('GET', `/v1/versions/${path}`),
          await send('GET', `/v1/audit?limit=${path}&${path}=1`),
        ];
        for (const answer of answers) assert.ok(answer.statusCode < 500, answer.body);
      }),
      { numRuns: 200 },
    );
  });

  it('a manifest with one place changed to anything gives 422 with pointers, or is taken', async () => {
    const paths = [
      '',
      '/spec',
      '/spec/features/0',
      '/spec/data',
      '/spec/gates',
      '/spec/guardrails/0',
      '/spec/rollout',
      '/spec/serving',
      '/spec/serving/backend/remote',
      '/spec/serving/log/features',
      '/spec/featureViews/0',
      '/spec/features/1/online',
    ];
    const leaves = [
      '/spec/rollout/steps/0/weight',
      '/spec/rollout/lease',
      '/spec/gates/0/expression',
      '/metadata/name',
    ];
    const place = fc.constantFrom(...paths.filter((path) => path !== ''), ...leaves);
    await fc.assert(
      fc.asyncProperty(place, fc.jsonValue(), async (path, value) => {
        const manifest = manifestWith(path, value, onlineManifestSample());
        const answer = await send('PUT', '/v1/models/elec2', { manifest });
        // Refused before it is looked at: such a member could change objects that it has no business with.
        if (JSON.stringify(value).includes('"__proto__":')) {
          assert.equal(answer.json<ProblemDocument>().code, 'INVALID_REQUEST');
          return;
        }
        assert.ok(answer.statusCode === 200 || answer.statusCode === 422, `${path}: ${answer.body}`);
        if (answer.statusCode === 422) {
          const { code, problems } = answer.json<ProblemDocument>();
          assert.equal(code, 'INVALID_MANIFEST');
          assert.ok(problems.length > 0);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('a manifest with serving settings and feature views is taken', async () => {
    const answer = await send('PUT', '/v1/models/elec2', { manifest: onlineManifestSample() });
    assert.equal(answer.statusCode, 200, answer.body);
  });

  it('each wrong body says which member is wrong and why', async () => {
    const cases: readonly (readonly [string, unknown, string, RegExp])[] = [
      ['/v1/releases', {}, '/model', /is required/],
      ['/v1/releases', { model: 'Elec 2' }, '/model', /must be a model name/],
      ['/v1/releases', { model: 'elec2', skipshadow: true }, '/skipshadow', /did you mean skipShadow/],
      [
        '/v1/releases',
        { model: 'elec2', skipShadow: 'true' },
        '/skipShadow',
        /must be a boolean, not a string/,
      ],
      ['/v1/releases', { model: 'elec2', parameters: { a: null } }, '/parameters/a', /not null/],
      ['/v1/releases', [], '', /must be an object, not an array/],
      ['/v1/releases/elec2/1/approve', { digest: 'latest' }, '/digest', /must be a digest/],
      ['/v1/releases/elec2/1/pause', { reason: '   ' }, '/reason', /must be a reason in words/],
      ['/v1/labels', { labels: [] }, '/labels', /fewer than 1/],
      [
        '/v1/labels',
        { labels: [{ predictionId: 'p', label: 2, observedAt: '1997-05-07T00:00:00Z' }] },
        '/labels/0/label',
        /<= 1/,
      ],
      [
        '/v1/labels',
        { labels: [{ predictionId: 'p', label: 1, observedAt: '1997-02-30T00:00:99Z' }] },
        '/labels/0/observedAt',
        /must be an instant/,
      ],
    ];
    for (const [url, body, path, reason] of cases) {
      const { code, problems } = await refused('POST', url, body);
      assert.equal(code, 'INVALID_REQUEST', url);
      const found = problems.find((problem) => problem.path === path);
      assert.match(found?.reason ?? JSON.stringify(problems), reason, `${url} ${path}`);
    }
  });

  it('protocol errors have their own codes', async () => {
    const codes = {
      notJson: (await refused('POST', '/v1/releases', '{"model":')).code,
      empty: (await refused('POST', '/v1/releases', '')).code,
      poisoned: (await refused('POST', '/v1/releases', '{"model":"elec2","__proto__":{"x":1}}')).code,
      noBody: (await refused('POST', '/v1/releases')).code,
      wrongMethod: (await refused('DELETE', '/v1/models/elec2')).code,
      wrongPath: (await refused('GET', '/v2/models')).code,
      longName: (await refused('GET', `/v1/models/${'a'.repeat(5000)}`)).code,
      badEscape: (await refused('GET', '/v1/models/%E0%A4%A')).code,
      tooLarge: (await refused('POST', '/v1/labels', `{"labels":"${'x'.repeat(2 * 1024 * 1024)}"}`)).code,
    };
    assert.deepEqual(codes, {
      notJson: 'INVALID_REQUEST',
      empty: 'INVALID_REQUEST',
      poisoned: 'INVALID_REQUEST',
      noBody: 'INVALID_REQUEST',
      wrongMethod: 'METHOD_NOT_ALLOWED',
      wrongPath: 'NOT_FOUND',
      longName: 'NOT_FOUND',
      badEscape: 'INVALID_REQUEST',
      tooLarge: 'BODY_TOO_LARGE',
    });
    const xml = await app.inject({
      method: 'POST',
      url: '/v1/releases',
      headers: { ...headers, 'content-type': 'application/xml' },
      payload: '<release/>',
    });
    assert.equal(xml.json<ProblemDocument>().code, 'UNSUPPORTED_MEDIA_TYPE');
    assert.equal((await send('GET', '/v1/models')).statusCode, 200, 'the next request works');
  });

  it('10,000 labels fit into one request, 10,001 do not', async () => {
    const label = (index: number) => ({
      predictionId: `p${index}`.padEnd(36, 'x'),
      label: 1,
      observedAt: '1997-05-07T00:00:00Z',
    });
    const labels = Array.from({ length: 10_000 }, (_, index) => label(index));
    assert.equal((await send('POST', '/v1/labels', { labels })).statusCode, 200);
    assert.equal(ports.stored.at(-1)?.observedAtMs, Date.parse('1997-05-07T00:00:00Z'));
    const { problems } = await refused('POST', '/v1/labels', { labels: [...labels, label(10_000)] });
    assert.equal(problems[0]?.path, '/labels');
  });

  it('ten thousand wrong labels give a short list, not a megabyte of it', async () => {
    const labels = Array.from({ length: 10_000 }, () => ({ predictionId: '', label: 'x' }));
    const { problems } = await refused('POST', '/v1/labels', { labels });
    assert.equal(problems.length, 51);
    assert.match(problems.at(-1)?.reason ?? '', /more$/);
  });

  it('refusals of the workflow keep their code', async () => {
    const url = '/v1/releases/elec2/1';
    assert.equal((await refused('POST', `${url}/approve`, { digest: CHAMPION })).code, 'STALE_REVIEW');
    assert.equal((await refused('POST', `${url}/resume`, { reason: 'x' })).code, 'WRONG_PHASE');
    assert.equal((await refused('GET', '/v1/releases/elec2/99')).code, 'RELEASE_NOT_FOUND');
    assert.equal((await refused('GET', '/v1/models/none')).code, 'MODEL_NOT_FOUND');
    assert.equal((await refused('GET', '/v1/versions/0123456789')).code, 'VERSION_NOT_FOUND');
    const own = await app.inject({
      method: 'POST',
      url: `${url}/approve`,
      headers: { authorization: `Bearer ${TOKENS.engineer}` },
      payload: { digest: CANDIDATE },
    });
    assert.equal(own.statusCode, 403);
    assert.equal(own.json<ProblemDocument>().code, 'FOUR_EYES');
  });

  it('internal detail never leaves', async () => {
    ports.broken = new Error('password=hunter2 at db.internal:5432');
    const problem = await refused('GET', '/v1/models');
    assert.equal(problem.code, 'INTERNAL');
    assert.doesNotMatch(JSON.stringify(problem), /hunter2|5432|at .*\.js/);
    ports.broken = new SlipwayError('UNAVAILABLE', 'the database does not answer; try again', {
      internal: 'hunter2',
      cause: new Error('hunter2'),
    });
    const answer = await send('GET', '/v1/models');
    assert.equal(answer.statusCode, 503);
    assert.equal(answer.headers['retry-after'], '1');
    assert.doesNotMatch(answer.body, /hunter2/);
  });

  it('a wrong manifest is refused whole, with file, pointer and reason of everything that is wrong', async () => {
    const manifest = structuredClone(manifestSample()) as unknown as {
      spec: Record<string, unknown> & { rollout: { steps: { weight: number }[] } };
    };
    manifest.spec['target'] = 'nswprice';
    manifest.spec['riskTeir'] = 'high';
    manifest.spec.rollout.steps[1]!.weight = 2;
    manifest.spec['data'] = { file: '/missing.csv', query: 'select 1' };
    const { code, detail, problems } = await refused('PUT', '/v1/models/elec2', {
      manifest,
      sources: { manifest: 'models/elec2.yaml' },
    });
    assert.equal(code, 'INVALID_MANIFEST');
    assert.match(detail, /models\/elec2\.yaml has 4 problems/);
    assert.deepEqual(
      problems.map(({ file, path }) => [file, path]),
      [
        ['models/elec2.yaml', '/spec/riskTeir'],
        ['models/elec2.yaml', '/spec/target'],
        ['models/elec2.yaml', '/spec/rollout/steps/1/weight'],
        ['models/elec2.yaml', '/spec/data/file'],
      ],
    );
  });

  it('a manifest under another name is refused', async () => {
    const { problems } = await refused('PUT', '/v1/models/other', { manifest: manifestSample() });
    assert.equal(problems[0]?.path, '/metadata/name');
  });
});
