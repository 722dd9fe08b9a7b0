/** Valid request bodies, and what can go wrong with them: byte by byte, and in the structure of the JSON. */
import type { Rng } from '../support/rng.ts';

export interface FuzzBody {
  readonly body: Buffer;
  /** Null: the whole body is JSON. */
  readonly headerLength: number | null;
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const float = Buffer.from(Float32Array.of(1, 2, 3, -4, 5.5, 6).buffer);
const tensor = (name: string, datatype: string, shape: number[], rest: { [name: string]: Json }): Json => ({
  name,
  datatype,
  shape,
  ...rest,
});
const sized = (size: number): { [name: string]: Json } => ({ parameters: { binary_data_size: size } });

/** Of a model with the features alpha, beta and gamma. */
export const PLAIN_BODIES: readonly (readonly [Json, Buffer | null])[] = [
  [{ inputs: [tensor('features', 'FP32', [1, 3], { data: [1, 2.5, -3] })] }, null],
  [
    {
      id: 'x-1',
      parameters: { unit: 'ann', binary_data_output: true },
      inputs: [
        tensor('features', 'FP64', [2, 3], {
          data: [
            [1, 2, 3],
            [4, 5, 6],
          ],
        }),
      ],
      outputs: [{ name: 'score', parameters: { binary_data: false } }, { name: 'label' }],
    },
    null,
  ],
  [
    {
      inputs: [
        tensor('gamma', 'INT64', [2], { data: [1, 2] }),
        tensor('alpha', 'FP16', [2, 1], { data: [[1], [2]] }),
        tensor('beta', 'BOOL', [2], { data: [true, false] }),
      ],
    },
    null,
  ],
  [{ inputs: [tensor('features', 'FP32', [2, 3], sized(24))] }, float],
  [
    {
      inputs: [
        tensor('alpha', 'INT64', [1], sized(8)),
        tensor('beta', 'UINT16', [1, 1], sized(2)),
        tensor('gamma', 'FP16', [1], sized(2)),
      ],
      parameters: { binary_data_output: true },
    },
    Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x3c]),
  ],
];

/** Of one whose `beta` is looked up by the key `customer`. */
export const KEYED_BODIES: readonly (readonly [Json, Buffer | null])[] = [
  [
    {
      inputs: [
        tensor('features', 'FP32', [2, 2], { data: [1, 2, 3, 4] }),
        tensor('customer', 'BYTES', [2], { data: ['ann', 'bøb'] }),
      ],
      parameters: { timeout: 1000, priority: 2 },
    },
    null,
  ],
  [
    {
      inputs: [tensor('customer', 'BYTES', [1], sized(7)), tensor('features', 'FP32', [1, 2], sized(8))],
    },
    Buffer.concat([Buffer.from([3, 0, 0, 0, 97, 98, 99]), float.subarray(0, 8)]),
  ],
];

const NUMBERS = [
  0,
  -0,
  -1,
  1,
  2,
  1.5,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  2 ** 60,
  1e39,
  1e308,
  -1e308,
  5e-324,
];
const TEXTS = [
  '',
  'features',
  'alpha',
  'customer',
  'score',
  'label',
  'FP32',
  'FP16',
  'BF16',
  'BYTES',
  'INT64',
  'BOOL',
  '\0',
  '\ud800',
  '__proto__',
  'NaN',
  'x'.repeat(2000),
];
const BYTES = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x5d, 0x7b, 0x7d, 0x2c, 0x5c, 0x2d, 0x65];

const pick = <T>(list: readonly T[], rng: Rng): T => list[Math.floor(rng.next() * list.length)] as T;
const below = (limit: number, rng: Rng): number => Math.floor(rng.next() * limit);

function anything(rng: Rng): Json {
  switch (below(8, rng)) {
    case 0:
      return null;
    case 1:
      return rng.next() < 0.5;
    case 2:
      return pick(TEXTS, rng);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return JSON.parse(
        '['.repeat(1 + below(40, rng)).replace(/\[*/, (open) => open + ']'.repeat(open.length)),
      ) as Json;
    default:
      return pick(NUMBERS, rng);
  }
}

/** Changes one place somewhere in the document, in place; each level is as likely to be hit as to be passed. */
function mutateDocument(document: Json, rng: Rng): void {
  let parent = document;
  for (;;) {
    if (typeof parent !== 'object' || parent === null) return;
    const names = Object.keys(parent);
    if (names.length === 0) return;
    const name = pick(names, rng);
    const members = parent as { [name: string]: Json };
    const member = members[name] as Json;
    if (typeof member === 'object' && member !== null && rng.next() < 0.75) {
      parent = member;
      continue;
    }
    const what = rng.next();
    if (Array.isArray(parent) && what < 0.3)
      parent.splice(Number(name), what < 0.15 ? 1 : 0, ...(what < 0.15 ? [] : [member]));
    else if (what < 0.4) delete members[name];
    else if (what < 0.5) define(members, pick(TEXTS, rng), anything(rng));
    else if (what < 0.6) members[name] = [member];
    else members[name] = anything(rng);
    return;
  }
}

/** A member of any name: assigned, `__proto__` would be no member. */
function define(members: object, name: string, value: Json): void {
  Object.defineProperty(members, name, { value, enumerable: true, configurable: true, writable: true });
}

function mutateBytes(body: Buffer, rng: Rng): Buffer {
  const at = below(body.length, rng);
  const length = 1 + below(8, rng);
  switch (below(6, rng)) {
    case 0:
      body[at] = (body[at] as number) ^ (1 << below(8, rng));
      return body;
    case 1:
      body[at] = pick(BYTES, rng);
      return body;
    case 2:
      return Buffer.concat([body.subarray(0, at), body.subarray(at + length)]);
    case 3:
      return Buffer.concat([body.subarray(0, at), Buffer.alloc(length, pick(BYTES, rng)), body.subarray(at)]);
    case 4:
      return Buffer.concat([body.subarray(0, at + length), body.subarray(at)]);
    default:
      return body.subarray(0, at);
  }
}

/** A valid body with up to four mutations of any kind; sometimes none. */
export function fuzzBody(bases: readonly (readonly [Json, Buffer | null])[], rng: Rng): FuzzBody {
  const [base, tail] = pick(bases, rng);
  const document = structuredClone(base);
  for (let i = below(3, rng); i > 0; i -= 1) mutateDocument(document, rng);
  const json = Buffer.from(JSON.stringify(document));
  let body: Buffer = tail === null ? json : Buffer.concat([json, tail]);
  for (let i = below(3, rng); i > 0 && body.length > 0; i -= 1) body = mutateBytes(body, rng);
  let headerLength = tail === null ? null : json.length;
  if (rng.next() < 0.1)
    headerLength = pick([null, 0, 1, json.length - 1, json.length + 1, body.length, 2 ** 40], rng);
  return { body, headerLength };
}
