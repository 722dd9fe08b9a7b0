import { strict as assert } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { describe, it } from 'mocha';
import { projectRoot } from '../platform/root.ts';

const root = projectRoot();

interface Import {
  readonly from: string;
  /** Path from the project's root, or a package name. */
  readonly to: string;
  readonly typeOnly: boolean;
  readonly local: boolean;
}

type Allowance = 'any' | 'types' | 'main';

/** The table of docs/architecture.md: folder → what it may import, and how. */
function allowances(): Map<string, Map<string, Allowance>> {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const table = new Map<string, Map<string, Allowance>>();
  for (const [, folder, , imports] of text.matchAll(/^\| `(\w+)\/` \| ([^|]+) \| ([^|]+) \|$/gm)) {
    const allowed = new Map<string, Allowance>([[folder!, 'any']]);
    for (const [, target, how] of imports!.matchAll(/`([^`]+)`(?: \((\w+)\))?/g)) {
      assert.ok(
        how === undefined || how === 'types' || how === 'main',
        `unknown allowance (${how}) for ${folder}`,
      );
      allowed.set(target!, how ?? 'any');
    }
    table.set(folder!, allowed);
  }
  return table;
}

function sources(): readonly string[] {
  return readdirSync(root, { withFileTypes: true })
    .filter(
      (entry) =>
        entry.isDirectory() && !entry.name.startsWith('.') && !['node_modules', 'dist'].includes(entry.name),
    )
    .flatMap((folder) =>
      readdirSync(join(root, folder.name), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.includes('node_modules'))
        .map((file) => posix.join(folder.name, file.replaceAll('\\', '/'))),
    );
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found: Import[] = [];
  const pattern = /^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;
  for (const [, type, statically, dynamically] of text.matchAll(pattern)) {
    const specifier = statically ?? dynamically!;
    const local = specifier.startsWith('.');
    const to = local ? relative(root, join(root, dirname(file), specifier)).replaceAll('\\', '/') : specifier;
    found.push({ from: file, to, typeOnly: type !== undefined, local });
  }
  return found;
}

describe('architecture', () => {
  const table = allowances();
  const files = sources();
  const imports = files.flatMap(importsOf);

  it('has every source folder in the table of docs/architecture.md', () => {
    const folders = new Set(files.map((file) => file.split('/')[0]!));
    assert.deepEqual(
      [...folders].filter((folder) => !table.has(folder)),
      [],
    );
    assert.ok(imports.filter(({ local }) => local).length > 100, 'the import scanner finds imports');
  });

  it('has no import that the table does not allow', () => {
    const wrong = imports.filter((found) => {
      if (!found.local) return false;
      const allowed = table.get(found.from.split('/')[0]!)!;
      const how = allowed.get('all') ?? allowed.get(found.to) ?? allowed.get(found.to.split('/')[0]!);
      if (how === undefined) return true;
      if (how === 'types') return !found.typeOnly;
      return how === 'main' && !found.typeOnly && !found.from.endsWith('.main.ts');
    });
    assert.deepEqual(
      wrong.map(({ from, to }) => `${from} → ${to}`),
      [],
    );
  });

  it('keeps domain/ free of packages and of node:', () => {
    const wrong = imports.filter(({ from, local }) => from.startsWith('domain/') && !local);
    assert.deepEqual(
      wrong.map(({ from, to }) => `${from} → ${to}`),
      [],
    );
  });

  it('keeps Temporal out of the gateway, the database, the data and the trainers', () => {
    const wrong = imports.filter(
      ({ from, to }) => /^(serving|db|data|trainers|domain)\//.test(from) && to.startsWith('@temporalio/'),
    );
    assert.deepEqual(
      wrong.map(({ from, to }) => `${from} → ${to}`),
      [],
    );
  });

  it('reads process.env in platform/config.ts only', () => {
    const readers = files.filter(
      (file) =>
        !/^(test|bench)\//.test(file) && readFileSync(join(root, file), 'utf8').includes('process.env'),
    );
    assert.deepEqual(readers, ['platform/config.ts']);
  });

  it('skips no test and runs none alone', () => {
    const wrong = files
      .filter((file) => file.startsWith('test/') && file !== 'test/architecture.test.ts')
      .filter((file) =>
        /\b(?:describe|it|context|specify)\.(?:only|skip)\(|\bthis\.skip\(|\bx(?:it|describe)\(/.test(
          readFileSync(join(root, file), 'utf8'),
        ),
      );
    assert.deepEqual(wrong, []);
  });

  it('has no file over 500 lines', () => {
    const long = files.filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 501);
    assert.deepEqual(long, []);
  });
});
