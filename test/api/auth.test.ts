import { strict as assert } from 'node:assert';
import { mkdtemp, readFile, rm, stat, writeFile, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';

import { createApi } from '../../api/app.ts';
import type { ApiInstance } from '../../api/routes/api-instance.ts';
import { LOCAL_ACTORS, ensureTokens } from '../../api/token-file.ts';
import type { Actor, TokenStore } from '../../api/ports.ts';
import type { ProblemDocument } from '../../api/schemas/common.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { CANDIDATE, TOKENS, fakePorts } from './fake-ports.ts';
import type { FakePorts } from './fake-ports.ts';

interface KnownRoute {
  readonly method: string;
  readonly url: string;
}

describe('who may call the API', () => {
  const routes: KnownRoute[] = [];
  let ports: FakePorts;
  let app: ApiInstance;

  before(async () => {
    ports = fakePorts();
    app = await createApi({ ports });
    await app.ready();
    // Fastify prints the tree of what it routes: the only list that nobody can forget to extend.
    const above: string[] = [];
    for (const line of app.printRoutes({ commonPrefix: false }).split('\n')) {
      const [, indent = '', part = '', methods = ''] =
        /^([│ ]*)[├└]── (\S+) \(([A-Z, ]+)\)$/u.exec(line) ?? [];
      if (part === '') continue;
      above.length = indent.length / 4;
      const url = [...above, part].join('');
      above.push(part);
      for (const method of methods.split(', ')) routes.push({ method, url });
    }
  });
  after(() => app.close());

  const fill = (url: string): string =>
    url
      .replace(':name', 'elec2')
      .replace(':model', 'elec2')
      .replace(':number', '1')
      .replace(':digest', CANDIDATE);

  it('no route is open but health', async () => {
    const urls = new Set(routes.map(({ url }) => url.replace(/:(\w+)/g, '{$1}')));
    const documented = Object.keys((app.swagger() as { paths?: object }).paths ?? {});
    assert.ok(documented.length >= 23);
    for (const url of [...documented, '/openapi.json'])
      assert.ok(urls.has(url), `${url} was not found by this test`);
    const open = new Set<string>();
    for (const { method, url } of routes) {
      const answer = await app.inject({ method: method as 'GET', url: fill(url) });
      if (answer.statusCode !== 401) open.add(url);
      else if (method !== 'HEAD') {
        assert.equal(answer.json<ProblemDocument>().code, 'UNAUTHENTICATED', `${method} ${url}`);
        assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
      }
    }
    assert.deepEqual([...open].sort(), ['/health/live', '/health/ready']);
    assert.deepEqual(ports.calls, [], 'nothing was done for a caller without a token');
  });

  it('a path that does not exist is not told apart from one that does, without a token', async () => {
    const answer = await app.inject({ method: 'GET', url: '/v1/secrets' });
    assert.equal(answer.statusCode, 401);
  });

  it('a wrong, cut, doubled or otherwise written token is refused', async () => {
    const good = TOKENS.engineer;
    const wrong = [
      `Bearer ${good.slice(0, -1)}`,
      `Bearer ${good}x`,
      `Bearer ${good.toUpperCase()}`,
      `Basic ${good}`,
      good,
      `Bearer ${good} ${good}`,
      'Bearer ',
      '',
      `Bearer ${'x'.repeat(10_000)}`,
      "Bearer ' or 1=1 --",
    ];
    for (const authorization of wrong) {
      const answer = await app.inject({ method: 'GET', url: '/v1/models', headers: { authorization } });
      assert.equal(answer.statusCode, 401, authorization.slice(0, 60));
    }
    const right = { authorization: `bearer ${good}` };
    assert.equal((await app.inject({ method: 'GET', url: '/v1/models', headers: right })).statusCode, 200);
  });

  it('the approver is who the token says, whatever the body says', async () => {
    const headers = { authorization: `Bearer ${TOKENS.approver}` };
    const url = '/v1/releases/elec2/1/approve';
    const forged = await app.inject({
      method: 'POST',
      url,
      headers,
      payload: { digest: CANDIDATE, actor: 'operator' },
    });
    assert.equal(forged.json<ProblemDocument>().code, 'INVALID_REQUEST');
    await app.inject({ method: 'POST', url, headers, payload: { digest: CANDIDATE } });
    assert.deepEqual(
      ports.calls.map(({ port, args }) => [port, (args[1] as { actor: string }).actor]),
      [['approve', 'approver']],
    );
  });

  it('break-glass promotion and revocation need the role operator', async () => {
    const attempts = [
      ['/v1/releases/elec2/1/promote-now', 204],
      [`/v1/versions/${CANDIDATE}/revoke`, 200],
    ] as const;
    for (const [url, allowed] of attempts) {
      for (const [role, status] of [
        ['engineer', 403],
        ['approver', 403],
        ['operator', allowed],
      ] as const) {
        const headers = { authorization: `Bearer ${TOKENS[role]}` };
        const answer = await app.inject({ method: 'POST', url, headers, payload: { reason: 'incident 7' } });
        assert.equal(answer.statusCode, status, `${role} ${url}`);
      }
    }
  });
});

describe('the token file', () => {
  let folder: string;
  let file: string;
  const memory = (): TokenStore & { readonly held: Map<string, Actor> } => {
    const held = new Map<string, Actor>();
    return {
      held,
      find: async (token) => held.get(token) ?? null,
      add: async (token, holder) => void held.set(token, holder),
    };
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-tokens-'));
    file = join(folder, 'tokens.json');
  });
  after(() => rm(folder, { recursive: true }));

  it('is made once, for its owner only, with a token of 256 bits for each person', async () => {
    const store = memory();
    const tokens = await ensureTokens(file, store);
    assert.deepEqual(Object.keys(tokens).sort(), Object.keys(LOCAL_ACTORS).sort());
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    for (const token of Object.values(tokens)) {
      assert.equal(Buffer.from(token.replace('slw_', ''), 'base64url').length, 32);
      assert.ok(await store.find(token));
    }
    assert.equal(new Set(Object.values(tokens)).size, Object.keys(LOCAL_ACTORS).length);
    assert.deepEqual(await ensureTokens(file, memory()), tokens);
  });

  it('gives a new database the tokens that people have, and narrows what a copy has widened', async () => {
    await chmod(file, 0o644);
    const store = memory();
    const tokens = await ensureTokens(file, store);
    assert.deepEqual([...store.held.keys()].sort(), Object.values(tokens).sort());
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('two processes that start at once agree on one file', async () => {
    const path = join(folder, 'race.json');
    const all = await Promise.all(Array.from({ length: 8 }, () => ensureTokens(path, memory())));
    const kept: unknown = JSON.parse(await readFile(path, 'utf8'));
    for (const tokens of all) assert.deepEqual(tokens, kept);
  });

  it('a file that is no token file is never overwritten', async () => {
    for (const text of ['', '[]', '{"engineer":"short"}', 'not json']) {
      const path = join(folder, 'other.json');
      await writeFile(path, text);
      await assert.rejects(
        ensureTokens(path, memory()),
        (error: unknown) => error instanceof SlipwayError && error.code === 'CONFIG_INVALID',
      );
      assert.equal(await readFile(path, 'utf8'), text);
    }
  });
});
