import { strict as assert } from 'node:assert';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { after, before, describe, it } from 'mocha';

import { createApi } from '../../api/app.ts';
import type { ApiInstance } from '../../api/routes/api-instance.ts';
import { CANDIDATE, TOKENS, fakePorts } from './fake-ports.ts';
import { manifestSample } from './manifest-sample.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly object[];
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: object }> }>;
  readonly parameters?: readonly { readonly in: string; readonly name: string; readonly schema: object }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
}
interface Document {
  readonly openapi: string;
  readonly info: object;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, object> };
}

/** The structure that OpenAPI 3.1 asks for, as far as this document uses it. Schemas are checked by their own meta-schema. */
const STRUCTURE = {
  type: 'object',
  required: ['openapi', 'info', 'paths', 'components'],
  properties: {
    openapi: { pattern: '^3\\.1\\.\\d+$' },
    info: { type: 'object', required: ['title', 'version'] },
    paths: {
      type: 'object',
      propertyNames: { pattern: '^/' },
      additionalProperties: {
        type: 'object',
        propertyNames: { enum: ['get', 'put', 'post', 'delete', 'head'] },
        additionalProperties: {
          type: 'object',
          required: ['operationId', 'summary', 'tags', 'responses', 'security'],
          properties: {
            parameters: {
              type: 'array',
              items: {
                type: 'object',
                required: ['name', 'in', 'schema'],
                properties: { in: { enum: ['path', 'query', 'header'] } },
                anyOf: [
                  { properties: { in: { enum: ['query', 'header'] } } },
                  { required: ['required'], properties: { required: { const: true } } },
                ],
              },
            },
            requestBody: { type: 'object', required: ['content'] },
            responses: {
              type: 'object',
              required: ['default'],
              propertyNames: { pattern: '^([1-5][0-9][0-9]|default)$' },
              additionalProperties: { type: 'object', required: ['description'] },
            },
          },
        },
      },
    },
  },
};

describe('the OpenAPI document', () => {
  let app: ApiInstance;
  let document: Document;
  const headers = { authorization: `Bearer ${TOKENS.operator}` };

  before(async () => {
    app = await createApi({ ports: fakePorts() });
    document = (await app.inject({ method: 'GET', url: '/openapi.json', headers })).json<Document>();
  });
  after(() => app.close());

  const operations = (): readonly {
    readonly path: string;
    readonly method: string;
    readonly operation: Operation;
  }[] =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );

  it('is OpenAPI 3.1, with unique operation ids and a declared parameter for each part of a path', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const valid = ajv.validate(STRUCTURE, document);
    assert.ok(valid, ajv.errorsText());
    const ids = operations().map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name).sort();
      const declared = (operation.parameters ?? [])
        .filter((one) => one.in === 'path')
        .map(({ name }) => name)
        .sort();
      assert.deepEqual(declared, inPath, path);
    }
  });

  it('every schema in it is a JSON schema 2020-12, and every reference leads somewhere', () => {
    const ajv = new Ajv2020({ strict: false });
    const schemas = [
      ...Object.values(document.components.schemas),
      ...operations().flatMap(({ operation: { parameters = [], requestBody, responses } }) => [
        ...parameters.map(({ schema }) => schema),
        ...Object.values(requestBody?.content ?? {}).map(({ schema }) => schema),
        ...Object.values(responses).flatMap(({ content }) =>
          Object.values(content ?? {}).map(({ schema }) => schema),
        ),
      ]),
    ];
    assert.ok(schemas.length > 40);
    for (const schema of schemas)
      assert.ok(ajv.validateSchema(schema), `${JSON.stringify(schema)}: ${ajv.errorsText()}`);
    for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      assert.ok(name !== undefined && name in document.components.schemas, name);
    }
  });

  it('says of each operation whether it needs a token', () => {
    const open = operations().filter(({ operation }) => operation.security.length === 0);
    assert.deepEqual(open.map(({ path }) => path).sort(), ['/health/live', '/health/ready']);
  });

  it('real answers have the documented shape', async () => {
    const version = `/v1/versions/${CANDIDATE}`;
    const calls: readonly (readonly ['GET' | 'POST' | 'PUT', string, string, object?])[] = [
      ['GET', '/health/live', '/health/live'],
      ['GET', '/health/ready', '/health/ready'],
      ['GET', '/v1/models', '/v1/models'],
      ['GET', '/v1/models/elec2', '/v1/models/{name}'],
      ['PUT', '/v1/models/elec2', '/v1/models/{name}', { manifest: manifestSample() }],
      ['GET', '/v1/models/elec2/versions', '/v1/models/{name}/versions'],
      ['POST', '/v1/models/elec2/rollback', '/v1/models/{name}/rollback', { reason: 'x', to: 'cccccccc' }],
      ['POST', '/v1/releases', '/v1/releases', { model: 'elec2', parameters: { lags: ['a'], trees: 3 } }],
      ['GET', '/v1/releases?model=elec2&limit=3', '/v1/releases'],
      ['GET', '/v1/releases/elec2/1', '/v1/releases/{model}/{number}'],
      [
        'POST',
        '/v1/releases/elec2/1/approve',
        '/v1/releases/{model}/{number}/approve',
        { digest: CANDIDATE },
      ],
      ['GET', version, '/v1/versions/{digest}'],
      ['GET', `${version}/lineage`, '/v1/versions/{digest}/lineage'],
      ['POST', `${version}/verify`, '/v1/versions/{digest}/verify'],
      ['POST', `${version}/revoke`, '/v1/versions/{digest}/revoke', { reason: 'x' }],
      [
        'POST',
        '/v1/labels',
        '/v1/labels',
        { labels: [{ predictionId: 'p', label: 0, observedAt: '1997-05-07T00:00:00Z' }] },
      ],
      ['GET', '/v1/audit?stream=elec2', '/v1/audit'],
      ['GET', '/v1/audit/verify', '/v1/audit/verify'],
    ];
    const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
    for (const [method, url, path, payload] of calls) {
      const answer = await app.inject({
        method,
        url,
        headers,
        ...(payload === undefined ? {} : { payload }),
      });
      const schema =
        document.paths[path]?.[method.toLowerCase()]?.responses[String(answer.statusCode)]?.content?.[
          'application/json'
        ]?.schema;
      assert.ok(schema, `${method} ${url}: ${answer.statusCode} is not documented: ${answer.body}`);
      assert.ok(ajv.validate(schema, answer.json()), `${method} ${url}: ${ajv.errorsText()} ${answer.body}`);
    }
    const wrong = await app.inject({ method: 'GET', url: '/v1/models/none', headers });
    assert.ok(ajv.validate(document.components.schemas['Problem'] ?? false, wrong.json()), ajv.errorsText());
  });

  it('health says that a part is missing, and not why', async () => {
    const ports = fakePorts();
    const broken = await createApi({
      ports: {
        ...ports,
        readiness: [
          { name: 'database', check: async () => undefined },
          { name: 'temporal', check: () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7:7233')) },
        ],
      },
    });
    const answer = await broken.inject({ method: 'GET', url: '/health/ready' });
    await broken.close();
    assert.equal(answer.statusCode, 503);
    assert.deepEqual(answer.json(), {
      status: 'not-ready',
      parts: { database: 'ready', temporal: 'not-ready' },
    });
  });
});
