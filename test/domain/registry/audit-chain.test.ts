import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as fc from 'fast-check';
import { SlipwayError } from '../../../domain/errors.ts';
import type { AuditRow, ChainResult, Checkpoint } from '../../../domain/registry/index.ts';
import {
  GENESIS,
  buildCheckpointStatement,
  canonicalJson,
  chainRow,
  parseCheckpointStatement,
  rowHash,
  verifyChain,
} from '../../../domain/registry/index.ts';
import { createHash } from 'node:crypto';
import { sha256 } from '../../../platform/sha256.ts';

const at = '2026-01-01T00:00:00.000Z';

function chain(length: number, stream = 'elec2'): AuditRow[] {
  const rows: AuditRow[] = [];
  for (let seq = 1; seq <= length; seq++) {
    const entry = {
      stream,
      seq,
      at,
      actor: 'ada',
      action: 'route.canary',
      subject: 'elec2',
      detail: { seq },
    };
    rows.push(chainRow(entry, rows.at(-1) ?? null, sha256));
  }
  return rows;
}

function checkpoint(rows: readonly AuditRow[], size: number): Checkpoint {
  return { stream: 'elec2', size, head: rows[size - 1]?.hash ?? GENESIS, at };
}

function firstBad(result: ChainResult): string {
  return result.ok ? 'ok' : `${result.seq} ${result.kind}`;
}

/** What someone with full access would do: change a row and compute every later hash again. */
function rewrite(rows: readonly AuditRow[], index: number): AuditRow[] {
  const forged = rows.slice(0, index);
  for (const row of rows.slice(index)) {
    const entry = forged.length === index ? { ...row, actor: 'mallory' } : row;
    forged.push(chainRow(entry, forged.at(-1) ?? null, sha256));
  }
  return forged;
}

const position = fc
  .integer({ min: 2, max: 30 })
  .chain((length) => fc.tuple(fc.constant(length), fc.nat(length - 1)));

describe('audit chain', () => {
  it('hashes the previous hash and the canonical row, as an independent computation does', () => {
    const [first, second] = chain(2);
    assert.ok(first !== undefined && second !== undefined);
    const { prevHash, hash, ...entry } = second;
    const expected = createHash('sha256')
      .update(Buffer.from(first.hash.slice(7), 'hex'))
      .update(canonicalJson(entry));
    assert.equal(prevHash, first.hash);
    assert.equal(hash, `sha256:${expected.digest('hex')}`);
  });

  it('passes when nothing was touched, also when empty and when rows have other columns', () => {
    const rows = chain(5);
    assert.deepEqual(verifyChain(rows, sha256), { ok: true, size: 5, head: rows[4]?.hash });
    assert.equal(verifyChain([], sha256).ok, true);
    assert.equal(
      verifyChain(
        rows.map((row) => ({ ...row, id: 7 })),
        sha256,
      ).ok,
      true,
    );
  });

  for (const field of ['at', 'actor', 'action', 'subject', 'detail', 'hash', 'prevHash'] as const) {
    it(`names the row whose ${field} was altered`, () => {
      fc.assert(
        fc.property(position, ([length, index]) => {
          const rows = chain(length);
          const forged = rows.map((row, i) =>
            i === index ? { ...row, [field]: `sha256:${'e'.repeat(64)}` } : row,
          );
          assert.equal(firstBad(verifyChain(forged, sha256)), `${index + 1} altered`);
        }),
      );
    });
  }

  it('names a row that was altered and hashed again', () => {
    fc.assert(
      fc.property(position, ([length, index]) => {
        fc.pre(index < length - 1);
        const rows = chain(length);
        const forged = rows.map((row, i) => {
          const entry = { ...row, actor: 'mallory' };
          return i === index ? { ...entry, hash: rowHash(entry, row.prevHash, sha256) } : row;
        });
        assert.equal(firstBad(verifyChain(forged, sha256)), `${index + 1} altered`);
      }),
    );
  });

  it('names the row that was removed', () => {
    fc.assert(
      fc.property(position, ([length, index]) => {
        fc.pre(index < length - 1);
        const rows = chain(length).filter((_, i) => i !== index);
        assert.equal(firstBad(verifyChain(rows, sha256)), `${index + 1} removed`);
      }),
    );
  });

  it('finds a removal that was covered by new numbers', () => {
    const rows = chain(6).filter((_, i) => i !== 2);
    const renumbered = rows.map((row, i) => ({ ...row, seq: i + 1 }));
    assert.equal(firstBad(verifyChain(renumbered, sha256)), '3 altered');
  });

  it('names the first of two rows that changed places, and a row that is there twice', () => {
    fc.assert(
      fc.property(position, ([length, index]) => {
        fc.pre(index < length - 1);
        const rows = chain(length);
        const moved = [
          ...rows.slice(0, index),
          ...rows.slice(index, index + 2).toReversed(),
          ...rows.slice(index + 2),
        ];
        assert.equal(firstBad(verifyChain(moved, sha256)), `${index + 1} reordered`);
      }),
    );
    const rows = chain(3);
    assert.equal(firstBad(verifyChain([...rows.slice(0, 2), ...rows.slice(1)], sha256)), '3 reordered');
  });

  it('finds a row of another stream', () => {
    const rows = chain(3);
    const foreign = chain(3, 'other')[1];
    assert.ok(foreign !== undefined);
    assert.equal(firstBad(verifyChain(rows.with(1, foreign), sha256)), '2 altered');
  });

  it('finds what a chain alone cannot, by its checkpoints: a cut-off end and a log rewritten whole', () => {
    fc.assert(
      fc.property(position, ([length, index]) => {
        const rows = chain(length);
        const points = [checkpoint(rows, length), checkpoint(rows, index)];
        assert.equal(firstBad(verifyChain(rows, sha256, points)), 'ok');
        const cut = rows.slice(0, length - 1);
        assert.equal(firstBad(verifyChain(cut, sha256)), 'ok');
        assert.equal(firstBad(verifyChain(cut, sha256, points)), `${length} removed`);
        const forged = rewrite(rows, index);
        assert.equal(firstBad(verifyChain(forged, sha256)), 'ok');
        assert.equal(firstBad(verifyChain(forged, sha256, points)), `${index + 1} altered`);
      }),
    );
  });

  it('reports a row that has no canonical form as altered instead of failing', () => {
    const rows = chain(3);
    const broken = rows.map((row, i) => (i === 1 ? { ...row, detail: '\ud800' } : row));
    assert.equal(firstBad(verifyChain(broken, sha256)), '2 altered');
  });

  it('refuses to append out of turn', () => {
    const [first] = chain(1);
    assert.ok(first !== undefined);
    assert.throws(() => chainRow({ ...first, seq: 3 }, first, sha256), SlipwayError);
    assert.throws(() => chainRow({ ...first, seq: 2, stream: 'other' }, first, sha256), SlipwayError);
  });

  it('reads a checkpoint back from its statement', () => {
    const point = checkpoint(chain(4), 4);
    assert.deepEqual(parseCheckpointStatement(buildCheckpointStatement(point)), point);
  });
});
