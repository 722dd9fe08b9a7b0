import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'mocha';

import { EXIT_CODES_HELP } from '../../cli/exit-codes.ts';
import { ERRORS } from '../../domain/errors.ts';
import { projectRoot } from '../../platform/root.ts';

const read = (name: string): string => readFileSync(join(projectRoot(), 'docs/reference', name), 'utf8');

describe('the references of errors and exit codes', () => {
  it('errors.md lists exactly the codes of the table, with status, retry and title', () => {
    const rows = [
      ...read('errors.md').matchAll(/^\| `([A-Z_]+)` +\| (\d+) +\| (yes|no) +\| (.+?) +\|$/gm),
    ].map(
      ([, code = '', status, retry, title]) =>
        [code, { status: Number(status), retryable: retry === 'yes', title }] as const,
    );
    assert.equal(new Set(rows.map(([code]) => code)).size, rows.length, 'a code is listed twice');
    assert.deepEqual(Object.fromEntries(rows), { ...ERRORS });
  });

  it('cli.md and --help know the same exit codes', () => {
    const inHelp = [...EXIT_CODES_HELP.matchAll(/^ {2}(\d) /gm)].map(([, code]) => code);
    const inDocs = [...read('cli.md').matchAll(/^\| (\d) +\| /gm)].map(([, code]) => code);
    assert.deepEqual(inDocs, inHelp);
  });
});
