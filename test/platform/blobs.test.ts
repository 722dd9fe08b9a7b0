import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, before, describe, it } from 'mocha';
import * as fc from 'fast-check';
import type { BlobStore } from '../../platform/blobs.ts';
import { createBlobStore } from '../../platform/blobs.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const digestOf = (content: Uint8Array): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

describe('blob store', () => {
  let home: string;
  let root: string;
  let store: BlobStore;
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'slipway-blobs-'));
    root = join(home, 'blobs');
    store = createBlobStore(root);
  });
  after(() => rm(home, { recursive: true, force: true }));

  it('gives back what was put, under the SHA-256 of the content', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (content) => {
        const { digest, size } = await store.put(content);
        assert.equal(digest, digestOf(content));
        assert.equal(size, content.length);
        assert.deepEqual(Uint8Array.from(await store.read(digest)), content);
      }),
      { numRuns: 20 },
    );
  });

  it('takes bytes, a stream and a file alike, and keeps them read-only at a path made of the digest', async () => {
    const content = new Uint8Array(3_000_000).map((_, index) => index % 251);
    const file = join(home, 'upload');
    await writeFile(file, content);
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < content.length; at += 70_000) yield content.subarray(at, at + 70_000);
    };
    const stored = [await store.put(stream()), await store.put({ path: file }), await store.put(content)];
    const digest = digestOf(content);
    for (const blob of stored) assert.deepEqual(blob, { digest, size: content.length });
    const hex = digest.slice(7);
    assert.equal(store.pathOf(digest), join(root, 'sha256', hex.slice(0, 2), hex));
    assert.equal((await stat(store.pathOf(digest))).mode & 0o777, 0o444);
  });

  it('keeps one whole blob when processes put the same bytes at once, and no temporary file', async () => {
    const shared = join(home, 'shared');
    const module = fileURLToPath(new URL('../../platform/blobs.js', import.meta.url));
    const script = `import { createBlobStore } from ${JSON.stringify(module)};
      const store = createBlobStore(${JSON.stringify(shared)});
      const puts = Array.from({ length: 8 }, (_, i) => store.put(Buffer.alloc(200_000, String(i % 2))));
      console.log((await Promise.all(puts)).map((blob) => blob.digest).join('\\n'));`;
    const run = promisify(execFile);
    const runs = [1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '-e', script]));
    const digests = (await Promise.all(runs)).flatMap(({ stdout }) => stdout.trim().split('\n'));
    assert.equal(digests.length, 24);
    const distinct = [...new Set(digests)];
    assert.equal(distinct.length, 2);
    for (const digest of distinct) assert.equal((await createBlobStore(shared).read(digest)).length, 200_000);
    assert.deepEqual(await readdir(join(shared, 'incoming')), []);
  });

  it('does not touch a whole blob when it is put again', async () => {
    const { digest } = await store.put(bytes('once'));
    const before = await stat(store.pathOf(digest));
    await store.put(bytes('once'));
    assert.equal((await stat(store.pathOf(digest))).ino, before.ino);
  });

  it('never returns damaged bytes, and is healed by putting the right ones', async () => {
    const { digest } = await store.put(bytes('precious'));
    await chmod(store.pathOf(digest), 0o644);
    await writeFile(store.pathOf(digest), 'precioux');
    await assert.rejects(store.read(digest), { code: 'DIGEST_CONFLICT' });
    await store.put(bytes('precious'));
    assert.deepEqual(Buffer.from(await store.read(digest)).toString(), 'precious');
  });

  it('never follows a symbolic link, neither when it reads nor when it takes a file', async () => {
    const { digest } = await store.put(bytes('linked'));
    const elsewhere = join(home, 'elsewhere');
    await writeFile(elsewhere, 'linked');
    await unlink(store.pathOf(digest));
    await symlink(elsewhere, store.pathOf(digest));
    await assert.rejects(store.read(digest), { code: 'SYMLINK_REFUSED' });
    assert.equal(await store.has(digest), false);
    await assert.rejects(store.put({ path: store.pathOf(digest) }), { code: 'SYMLINK_REFUSED' });
    await store.put(bytes('linked'));
    assert.equal(await store.has(digest), true);
    assert.equal(await readFile(elsewhere, 'utf8'), 'linked');
  });

  it('says FILE_MISSING for what it does not have, and refuses what is no digest', async () => {
    const digest = digestOf(bytes('never stored'));
    assert.equal(await store.has(digest), false);
    await assert.rejects(store.read(digest), { code: 'FILE_MISSING' });
    await assert.rejects(store.put({ path: join(home, 'nothing') }), { code: 'FILE_MISSING' });
    await assert.rejects(store.put({ path: home }), { code: 'FILE_MISSING' });
    for (const bad of ['', 'sha256:../../etc/passwd', digest.toUpperCase(), digest.slice(7)]) {
      assert.throws(() => store.pathOf(bad), { code: 'INVALID_REQUEST' });
      await assert.rejects(store.read(bad), { code: 'INVALID_REQUEST' });
    }
  });

  it('leaves nothing when a stream fails, and does not mind what a crash left', async () => {
    const crashed = join(root, 'incoming', '.tmp-crashed');
    await writeFile(crashed, 'half a mod');
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes('half');
      await Promise.resolve();
      throw new Error('connection lost');
    };
    await assert.rejects(store.put(failing()), /connection lost/);
    assert.equal(await store.has(digestOf(bytes('half'))), false);
    assert.deepEqual(await readdir(dirname(crashed)), ['.tmp-crashed']);
    const { digest } = await store.put(bytes('half a mod'));
    assert.equal(await store.has(digest), true);
  });

  it('writes the files of a version as copies that cannot change the store', async () => {
    const folder = join(home, 'version');
    const a = await store.put(bytes('A'));
    const b = await store.put(bytes('B'));
    await store.materialise(
      [
        { name: 'a', ...a },
        { name: 'deep/er/b', ...b },
      ],
      folder,
    );
    assert.equal(await readFile(join(folder, 'deep/er/b'), 'utf8'), 'B');
    await writeFile(join(folder, 'a'), 'changed');
    assert.equal(Buffer.from(await store.read(a.digest)).toString(), 'A');
    await store.materialise([{ name: 'a', ...a }], folder);
    assert.equal(await readFile(join(folder, 'a'), 'utf8'), 'A');
  });

  it('does not write outside the folder of a version', async () => {
    const blob = await store.put(bytes('A'));
    const folder = join(home, 'confined');
    await mkdir(folder);
    for (const name of ['../escaped', '/escaped', 'x/../../escaped']) {
      await assert.rejects(
        store.materialise(
          [
            { name: 'fine', ...blob },
            { name, ...blob },
          ],
          folder,
        ),
        {
          code: 'INVALID_REQUEST',
        },
      );
    }
    assert.deepEqual(await readdir(folder), []);
  });
});
