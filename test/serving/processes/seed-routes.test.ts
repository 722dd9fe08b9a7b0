import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { seedRoutes } from '../../../serving/processes/index.ts';
import { routeFilePath } from '../../../serving/route-file.ts';

describe('routes that a new process starts from', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-seed-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const save = async (id: string, text: string, atSeconds: number): Promise<void> => {
    const path = routeFilePath(folder, id);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    await utimes(path, atSeconds, atSeconds);
  };
  const routesOf = (id: string): Promise<string> => readFile(routeFilePath(folder, id), 'utf8');

  it('are those of a sibling when its slot was never used, or was used before the sibling’s last change', async () => {
    await save('host:1/0', 'newest', 300);
    await save('host:1/1', 'long ago', 100);
    await save('host:1', 'when it ran alone', 200);
    await seedRoutes(folder, 'host:1', 1);
    await seedRoutes(folder, 'host:1', 2);
    assert.deepEqual([await routesOf('host:1/1'), await routesOf('host:1/2')], ['newest', 'newest']);
  });

  it('are its own when they are the newest', async () => {
    await save('host:1/0', 'older', 100);
    await save('host:1/1', 'own', 200);
    await seedRoutes(folder, 'host:1', 1);
    assert.equal(await routesOf('host:1/1'), 'own');
  });

  it('are never those of another gateway', async () => {
    await save('host:10/0', 'other', 100);
    await save('host:1/a', 'other', 100);
    await mkdir(join(folder, '%zz'));
    await seedRoutes(folder, 'host:1', 0);
    await assert.rejects(routesOf('host:1/0'), { code: 'ENOENT' });
  });

  it('are none on a machine that is new', async () => {
    await seedRoutes(join(folder, 'missing'), 'host:1', 0);
  });
});
