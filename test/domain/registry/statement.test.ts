import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as fc from 'fast-check';
import { SlipwayError } from '../../../domain/errors.ts';
import type { SignedFile, Statement } from '../../../domain/registry/index.ts';
import {
  buildModelStatement,
  digestOf,
  parseModelStatement,
  preAuthEncoding,
  rootDigest,
} from '../../../domain/registry/index.ts';
import { sha256 } from '../../../platform/sha256.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const file = (name: string, content = name): SignedFile => ({
  name,
  digest: digestOf(text(content), sha256),
});
const facts = {
  tensors: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [] },
  lineageDigest: digestOf(text('lineage'), sha256),
} as const;
const build = (files: readonly SignedFile[]): Statement => buildModelStatement('m', files, facts, sha256);
type Predicate = Record<string, unknown>;
const withPredicate = (change: Predicate): unknown => {
  const statement = build([file('a'), file('b')]);
  return { ...statement, predicate: { ...statement.predicate, ...change } };
};
const code = (expected: string, message: RegExp) => (error: unknown) =>
  error instanceof SlipwayError && error.code === expected && message.test(error.message);

describe('statement of a model version', () => {
  it('has the root digest that model-signing 1.1.1 computed for the same files', () => {
    const files = [
      file('é.txt', 'u'),
      file('sub/a.txt', 'y'),
      file('sub/B.txt', 'x'),
      file('model.onnx', 'hello'),
      file('metrics.json', '{}'),
      file('a.b', 'q'),
      file('a-b', 'w'),
      file('a/z', 'z'),
    ];
    const expected = 'sha256:33b76613099e2ff14f3ba3eb0ec01636be12e3f519a7f4af23bfecbffc6562f0';
    assert.equal(rootDigest(files, sha256), expected);
  });

  it('does not depend on the order in which the files are given', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-c.é\u{1f600}\uff01-]{1,3}(\/[a-c]{1,2})?$/u), {
      minLength: 1,
    });
    fc.assert(
      fc.property(names.filter(signable), fc.nat(), (list, shift) => {
        const files = list.map((name) => file(name));
        const at = shift % files.length;
        const turned = [...files.slice(at), ...files.slice(0, at)].toReversed();
        assert.deepEqual(build(turned), build(files));
        assert.equal(parseModelStatement(build(turned), sha256).root, rootDigest(files, sha256));
      }),
    );
  });

  it('changes its root with any content and with any swap of contents', () => {
    const root = rootDigest([file('a', '1'), file('b', '2')], sha256);
    assert.notEqual(rootDigest([file('a', '1'), file('b', '3')], sha256), root);
    assert.notEqual(rootDigest([file('a', '2'), file('b', '1')], sha256), root);
  });

  for (const name of [
    '',
    '/a',
    '../a',
    'a/../b',
    'a//b',
    './a',
    'a/',
    'a\\b',
    'a\nb',
    'a\0',
    '\ud800',
    'model.sig',
    '.git/x',
  ]) {
    it(`refuses to sign a file named ${JSON.stringify(name)}`, () => {
      assert.throws(() => build([file('ok'), { ...file('x'), name }]), code('INVALID_REQUEST', /./));
    });
  }

  it('refuses a name that is there twice, and a version without files', () => {
    assert.throws(() => build([file('a'), file('a', 'other')]), code('INVALID_REQUEST', /twice/));
    assert.throws(() => build([]), code('INVALID_REQUEST', /at least one/));
  });

  it('reads back what it wrote, and ignores members of the predicate that it does not know', () => {
    const parsed = parseModelStatement(withPredicate({ future: [1] }), sha256);
    assert.equal(parsed.model, 'm');
    assert.deepEqual(parsed.files, [file('a'), file('b')]);
    assert.deepEqual(parsed.facts?.['tensors'], facts.tensors);
  });

  const resources = (...files: readonly SignedFile[]): Predicate => ({
    resources: files.map(({ name, digest }) => ({ name, algorithm: 'sha256', digest: digest.slice(7) })),
  });
  const serialization = (change: Predicate): Predicate => ({
    serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ...change },
  });
  const refused: readonly (readonly [string, Predicate, string, RegExp])[] = [
    ['a root that is not that of the files', resources(file('a')), 'SIGNATURE_INVALID', /root digest/],
    ['files out of order', resources(file('b'), file('a')), 'SIGNATURE_INVALID', /order/],
    ['a file twice', resources(file('a'), file('a')), 'SIGNATURE_INVALID', /twice/],
    ['a path out of the version', resources(file('../a')), 'SIGNATURE_INVALID', /component/],
    ['no files', { resources: [] }, 'SIGNATURE_INVALID', /no file/],
    ['shards', serialization({ method: 'shards' }), 'SIGNATURE_INVALID', /whole files/],
    ['another hash', serialization({ hash_type: 'blake3' }), 'SIGNATURE_INVALID', /SHA-256/],
    ['followed symbolic links', serialization({ allow_symlinks: true }), 'SYMLINK_REFUSED', /symbolic/],
    ['no serialization', { serialization: undefined }, 'SIGNATURE_INVALID', /serialization/],
  ];
  for (const [what, change, expected, message] of refused) {
    it(`refuses a signed statement with ${what}`, () => {
      assert.throws(() => parseModelStatement(withPredicate(change), sha256), code(expected, message));
    });
  }

  it('refuses a statement of another type', () => {
    const statement = { ...build([file('a')]), predicateType: 'https://model_signing/Digests/v0.1' };
    assert.throws(() => parseModelStatement(statement, sha256), code('SIGNATURE_INVALID', /predicateType/));
    assert.throws(() => parseModelStatement(null, sha256), code('SIGNATURE_INVALID', /object/));
  });

  it('signs the bytes of the example in the DSSE specification', () => {
    const bytes = preAuthEncoding('http://example.com/HelloWorld', text('hello world'));
    assert.equal(new TextDecoder().decode(bytes), 'DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });
});

function signable(names: readonly string[]): boolean {
  return names.every((name) => name.split('/').every((part) => part !== '.' && part !== '..'));
}
