import { strict as assert } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';

import { createApi } from '../../api/app.ts';
import { ensureTokens } from '../../api/token-file.ts';
import type { ApiInstance } from '../../api/routes/api-instance.ts';
import type { Actor, Role } from '../../api/ports.ts';
import { identify } from '../../deploy/local/process-identity.ts';
import { writeStackFile } from '../../deploy/local/stack-file.ts';
import { CANDIDATE, CHAMPION, fakePorts } from '../api/fake-ports.ts';
import type { FakePorts } from '../api/fake-ports.ts';
import { slipway } from './run-slipway.ts';

const NO_STACK = join(tmpdir(), 'slipway-cli-no-stack');

describe('the command line without a stack', () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['release'], /missing required argument 'model'/],
    [['release', 'Elec 2'], /A model name has lower-case letters/],
    [['release', 'elec2', '--param', 'trees'], /A parameter looks like trees=200/],
    [['release', 'elec2', '--param', 'a=1', '--param', 'a=2'], /a is given twice/],
    [['approve', 'elec2'], /A release id looks like elec2\/4/],
    [['pause', 'elec2/0'], /A release id looks like elec2\/4/],
    [['rollback', 'elec2', '--to', 'newest'], /A version is named by its digest/],
    [['lineage'], /missing required argument 'version'/],
    [['apply'], /required option '-f, --file <path>'/],
    [['status', '--jsno'], /Did you mean --json/],
    [['aprove', 'elec2/1'], /Did you mean approve/],
    [['status', 'elec2', 'other'], /too many arguments/],
    [['predictions', 'export', '--out', 'x.parquet'], /required option '--endpoint <name>'/],
    [['predictions', 'export', '--endpoint', 'elec2'], /required option '--out <file>'/],
    [['predictions', 'export', '--endpoint', 'No', '--out', 'x'], /A model name has lower-case letters/],
    [
      ['predictions', 'export', '--endpoint', 'elec2', '--out', 'x', '--since', 'noon'],
      /An instant looks like 1997-05-01T00:00:00Z/,
    ],
    [['gateway', '--processes', '0'], /1 to 256, or a range such as 1\.\.4/],
    [['gateway', '--processes', '1-4'], /1 to 256, or a range such as 1\.\.4/],
    [['gateway', '--processes', '4..2'], /begins with the smaller number: 2\.\.4/],
    [['gateway', '--port', '70000'], /A port is a whole number from 1 to 65535/],
    [['up', '--gateways', 'many'], /1 to 256, or a range such as 1\.\.4/],
    [['experiment', 'start', 'elec2'], /missing required argument 'name'/],
    [['experiment', 'show', 'elec2', 'No_Name'], /An experiment name has lower-case letters/],
    [['experiment', 'evaluate', 'elec2', 'prices'], /required option '--policy <shares>'/],
    [['experiment', 'evaluate', 'elec2', 'prices', '--policy', 'a=b'], /percentages such as a=20,b=80/],
    [
      ['experiment', 'history', 'elec2', 'prices', '--limit', '0'],
      /A limit is a whole number from 1 to 1000/,
    ],
    [['audit', 'check'], /unknown command 'check'|Usage: slipway audit/],
  ];
  for (const [args, message] of wrong) {
    it(`slipway ${args.join(' ')} ends with 2 and says what is wrong`, async () => {
      const { code, stdout, stderr } = await slipway(args, NO_STACK);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }

  it('no command at all shows the help and ends with 2; --help ends with 0 and has examples and exit codes', async () => {
    assert.equal((await slipway([], NO_STACK)).code, 2);
    const { code, stdout } = await slipway(['--help'], NO_STACK);
    assert.equal(code, 0);
    for (const part of [
      'Examples:',
      'slipway release elec2 --wait',
      'Exit codes:',
      '4  no stack is running',
    ]) {
      assert.ok(stdout.includes(part), part);
    }
  });

  it('every command has a help with an example', async () => {
    const commands = [
      'up',
      'demo',
      'gateway',
      'apply',
      'release',
      'approve',
      'reject',
      'pause',
      'resume',
      'abort',
      'rollback',
      'status',
      'versions',
      'lineage',
      'verify',
      'audit verify',
      'predictions list',
      'predictions export',
      'doctor',
    ];
    const help = await Promise.all(commands.map((name) => slipway([...name.split(' '), '--help'], NO_STACK)));
    help.forEach(({ code, stdout }, index) => {
      assert.equal(code, 0, commands[index]);
      assert.match(
        stdout,
        new RegExp(`Examples?:\\n  (SLIPWAY_HOME=\\S+ )?slipway ${commands[index]}`),
        commands[index],
      );
    });
  });

  it('without a stack: two lines, what happened and what to do, and exit code 4', async () => {
    for (const args of [['status'], ['versions', 'elec2', '--json'], ['audit', 'verify'], ['gateway']]) {
      const { code, stdout, stderr } = await slipway(args, NO_STACK);
      assert.equal(code, 4);
      assert.equal(stdout, '');
      const lines = stderr.trimEnd().split('\n');
      assert.equal(lines.length, 2, stderr);
      assert.match(lines[0] ?? '', /^error: no stack is running in .*\(STACK_NOT_RUNNING\)$/);
      assert.match(lines[1] ?? '', /slipway up/);
    }
  });

  it('--version prints the version', async () => {
    const { code, stdout } = await slipway(['--version'], NO_STACK);
    assert.equal(code, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('the command line with a running API', () => {
  let home: string;
  let app: ApiInstance;
  let ports: FakePorts;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'slipway-cli-'));
    const holders = new Map<string, Actor>();
    ports = fakePorts();
    const tokens = {
      find: async (token: string) => holders.get(token) ?? null,
      add: async (token: string, { actor, role }: { actor: string; role: Role }) =>
        void holders.set(token, { actor, role }),
    };
    app = await createApi({ ports: { ...ports, tokens } });
    const api = await app.listen({ host: '127.0.0.1', port: 0 });
    const tokenFile = join(home, 'tokens.json');
    await ensureTokens(tokenFile, tokens);
    const supervisor = identify(process.pid);
    assert.ok(supervisor);
    writeStackFile(home, {
      temporalAddress: '127.0.0.1:7233',
      namespace: 'default',
      api,
      gateway: api,
      databaseUrl: 'postgres://nowhere',
      tokenFile,
      pids: {},
      supervisor,
    });
  });
  after(async () => {
    await app.close();
    await rm(home, { recursive: true });
  });

  const json = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
    const { stdout, stderr } = await slipway([...args, '--json'], home);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  it('--json of each reading command is one JSON document of a known shape', async () => {
    const shapes: readonly (readonly [readonly string[], readonly string[]])[] = [
      [['status'], ['models']],
      [
        ['status', 'elec2'],
        [
          'champion',
          'createdAtMs',
          'gateways',
          'manifest',
          'manifestDigest',
          'name',
          'route',
          'running',
          'updatedAtMs',
        ],
      ],
      [['versions', 'elec2'], ['versions']],
      [
        ['lineage', CANDIDATE.slice(7, 19)],
        ['decisions', 'digest', 'lineage', 'model', 'number', 'release', 'revoked', 'served'],
      ],
      [
        ['verify', CANDIDATE],
        ['digest', 'problems', 'servable'],
      ],
      [
        ['audit', 'verify'],
        ['broken', 'checkpoints', 'firstBad', 'intact', 'rows', 'streams'],
      ],
      [
        ['release', 'elec2'],
        ['release', 'started'],
      ],
      [
        ['approve', 'elec2/1'],
        ['approved', 'decision', 'digest', 'needed', 'release'],
      ],
      [
        ['rollback', 'elec2'],
        ['from', 'generation', 'milliseconds', 'to', 'wasStandby'],
      ],
    ];
    for (const [args, keys] of shapes)
      assert.deepEqual(Object.keys(await json(...args)).sort(), keys, args.join(' '));
  });

  it('what may not be served, and a broken audit log, end with 1', async () => {
    const verify = await slipway(['verify', CANDIDATE], home);
    assert.equal(verify.code, 1);
    assert.match(verify.stdout, /may NOT be served\n {2}FILE_DIGEST_MISMATCH model\.onnx: other bytes/);
    const audit = await slipway(['audit', 'verify'], home);
    assert.equal(audit.code, 1);
    assert.match(audit.stdout, /elec2 row 2/);
  });

  it('what is not there ends with 3, and says what is', async () => {
    for (const args of [
      ['status', 'none'],
      ['versions', 'none'],
      ['lineage', 'dddddddd'],
      ['abort', 'elec2/77'],
      ['apply', '-f', 'no/such/folder'],
    ]) {
      const { code, stderr } = await slipway(args, home);
      assert.equal(code, 3, `${args.join(' ')}: ${stderr}`);
      assert.equal(stderr.trimEnd().split('\n').length, 2, stderr);
    }
  });

  it('approve names the digest under review, decides on exactly that one, as the approver', async () => {
    ports.calls.length = 0;
    const { code, stdout } = await slipway(['approve', 'elec2/1', '--comment', 'fine'], home);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`under review: ${CANDIDATE}`));
    assert.deepEqual(ports.calls[0]?.args[1], { actor: 'approver', digest: CANDIDATE, comment: 'fine' });
  });

  it('a refusal says why and what to do, and ends with 1', async () => {
    const own = await slipway(['approve', 'elec2/1', '--as', 'engineer'], home);
    assert.equal(own.code, 1);
    assert.match(own.stderr, /^error: .*\(FOUR_EYES\)\n.*--as approver/);
    const stale = await slipway(['approve', 'elec2/1', '--digest', CHAMPION], home);
    assert.match(stale.stderr, /STALE_REVIEW/);
    const nobody = await slipway(['status', '--as', 'mallory'], home);
    assert.notEqual(nobody.code, 0);
    assert.match(nobody.stderr, /no token for mallory/);
  });

  it('parameters keep their type', async () => {
    const { release } = (await json(
      'release',
      'elec2',
      '--param',
      'trees=200',
      '--param',
      'features=["a","b"]',
      '--param',
      'early=true',
      '--param',
      'train_before=1998-01-01',
      '--no-shadow',
    )) as { release: { parameters: unknown; skipShadow: boolean } };
    assert.deepEqual(release.parameters, {
      trees: 200,
      features: ['a', 'b'],
      early: true,
      train_before: '1998-01-01',
    });
    assert.equal(release.skipShadow, true);
  });

  it('a wrong manifest is refused with file, line, pointer and reason of everything', async () => {
    const file = join(home, 'model.yaml');
    await writeFile(
      file,
      'apiVersion: slipway/v1\nkind: Model\nmetadata:\n  name: elec2\n  owner: me\nspec:\n  task: regression\n  riskTier: low\n',
    );
    const { code, stderr } = await slipway(['apply', '-f', file], home);
    assert.equal(code, 1);
    assert.ok(stderr.includes(`${file}:7 /spec/task: must be binary-classification`), stderr);
    assert.match(stderr, /\/spec\/features: is required/);
    const broken = join(home, 'broken.yaml');
    await writeFile(broken, 'apiVersion: slipway/v1\nkind: [Model\n');
    const syntax = await slipway(['apply', '-f', broken], home);
    assert.equal(syntax.code, 1);
    assert.match(syntax.stderr, /broken\.yaml:\d+/);
  });

  it('colours are left out of pipes', async () => {
    const { stdout } = await slipway(['status'], home);
    assert.equal(stdout.includes('\u001b'), false);
  });
});
