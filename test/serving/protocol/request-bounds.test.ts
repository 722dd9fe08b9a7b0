import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { parseInferRequest } from '../../../serving/protocol/infer-request.ts';
import { PLAIN, binary, column, matrix, parse, refusal } from './infer-bodies.ts';

describe('infer request: binary bounds', () => {
  const raw = { name: 'features', datatype: 'FP32', shape: [1, 3] };
  const bytes = Buffer.alloc(12);
  const send = (input: object | object[], tail: Buffer, headerLength?: number): string =>
    refusal(() => {
      const json = Buffer.from(JSON.stringify({ inputs: Array.isArray(input) ? input : [input] }));
      parseInferRequest(Buffer.concat([json, tail]), headerLength ?? json.length, PLAIN);
    });
  const sized = (binary_data_size: unknown): object => ({ ...raw, parameters: { binary_data_size } });

  it('names what is wrong with a size', () => {
    const cases: [object | object[], Buffer, RegExp][] = [
      [sized(11), bytes, /binary_data_size is 11, and 3 elements of FP32 take 12 bytes/],
      [sized(13), bytes, /binary_data_size is 13, and 12 bytes are left/],
      [sized(2 ** 52), bytes, /binary_data_size is 4503599627370496, and 12 bytes are left/],
      [sized(-12), bytes, /binary_data_size must be a whole number, not -12/],
      [sized(1.5), bytes, /binary_data_size must be a whole number/],
      [sized('12'), bytes, /binary_data_size must be a whole number, not "12"/],
      [sized(null), bytes, /parameters\.binary_data_size must be a string, a number or a boolean, not null/],
      [sized(12), Buffer.alloc(13), /goes on for 1 bytes after the last tensor/],
      [{ ...sized(12), data: [1, 2, 3] }, bytes, /has data and parameters\.binary_data_size/],
      [raw, bytes, /features\.data must be an array, not nothing/],
      [matrix, bytes, /goes on for 12 bytes after the last tensor/],
      [{ ...sized(12), shape: [2 ** 40, 3] }, bytes, /at most 16 rows/],
      [{ ...raw, shape: [-1, 3] }, bytes, /features\.shape\[0\]/],
      [
        { ...sized(12), parameters: { shared_memory_region: 'x' } },
        bytes,
        /shared_memory_region is not supported/,
      ],
      [{ ...sized(12), parameters: [] }, bytes, /features\.parameters must be an object/],
    ];
    for (const [input, tail, words] of cases) assert.match(send(input, tail), words);
  });

  it('names what is wrong with the header length', () => {
    const [body, headerLength] = binary([{ ...raw, datatype: 'FP32', values: new Float32Array(3) }]);
    assert.match(
      refusal(() => parseInferRequest(body, body.length + 1, PLAIN)),
      /Inference-Header-Content-Length is/,
    );
    assert.match(
      refusal(() => parseInferRequest(body, 2 ** 52, PLAIN)),
      /Inference-Header-Content-Length is/,
    );
    assert.match(
      refusal(() => parseInferRequest(body, headerLength - 1, PLAIN)),
      /not JSON/,
    );
    assert.match(
      refusal(() => parseInferRequest(body, null, PLAIN)),
      /not JSON/,
    );
    assert.match(
      refusal(() => parse({ inputs: [sized(12)] })),
      /needs the header Inference-Header-Content-Length/,
    );
  });

  it('takes a raw request by its length alone, and refuses one that has no whole rows', () => {
    const rows = Float32Array.of(1, 2, 3, 4, 5, 6);
    const request = parseInferRequest(Buffer.from(rows.buffer), 0, PLAIN);
    assert.deepEqual([request.rows, ...request.features], [2, ...rows]);
    assert.ok(request.outputs.every(({ binary }) => binary));
    for (const length of [0, 4, 13]) {
      assert.match(
        refusal(() => parseInferRequest(Buffer.alloc(length), 0, PLAIN)),
        /12 bytes for each row/,
      );
    }
    assert.match(
      refusal(() => parseInferRequest(Buffer.alloc(17 * 12), 0, PLAIN)),
      /at most 16 rows/,
    );
  });
});

describe('infer request: parameters and outputs', () => {
  const withParameters = (parameters: unknown): object => ({ inputs: [matrix], parameters });
  const withOutputs = (outputs: unknown, parameters = {}): object => ({
    inputs: [matrix],
    outputs,
    parameters,
  });

  it('reads timeout, priority and unit, and has defaults for them', () => {
    const { timeoutMicros, priority, unit, id, outputs } = parse({ inputs: [matrix] });
    assert.deepEqual([timeoutMicros, priority, unit, id], [0, 0, undefined, undefined]);
    assert.deepEqual(outputs, [
      { name: 'label', binary: false },
      { name: 'score', binary: false },
    ]);
    const full = parse({ ...withParameters({ timeout: 2500, priority: 1, unit: 7, mine: 'x' }), id: 'i' });
    assert.deepEqual([full.timeoutMicros, full.priority, full.unit, full.id], [2500, 1, '7', 'i']);
  });

  it('answers the outputs that are asked for, in that order, each in its own form', () => {
    const names = (document: object): unknown =>
      parse(document).outputs.map(({ name, binary }) => [name, binary]);
    assert.deepEqual(names(withOutputs([{ name: 'score' }, { name: 'label' }])), [
      ['score', false],
      ['label', false],
    ]);
    assert.deepEqual(names(withOutputs([], { binary_data_output: true })), [
      ['label', true],
      ['score', true],
    ]);
    assert.deepEqual(
      names(
        withOutputs([{ name: 'score', parameters: { binary_data: false } }, { name: 'label' }], {
          binary_data_output: true,
        }),
      ),
      [
        ['score', false],
        ['label', true],
      ],
    );
  });

  it('names the parameter that is wrong', () => {
    const cases: [object, RegExp][] = [
      [withParameters({ timeout: -1 }), /parameters\.timeout must be a whole number of at least 0, not -1/],
      [withParameters({ timeout: 1.5 }), /parameters\.timeout/],
      [withParameters({ timeout: '9' }), /parameters\.timeout/],
      [withParameters({ priority: 2 ** 53 }), /parameters\.priority/],
      [withParameters({ binary_data_output: 1 }), /parameters\.binary_data_output must be true or false/],
      [withParameters({ sequence_id: 4 }), /parameters\.sequence_id is not supported/],
      [
        withParameters({ mine: { a: 1 } }),
        /parameters\.mine must be a string, a number or a boolean, not an object/,
      ],
      [withParameters({ mine: null }), /parameters\.mine must be/],
      [
        withOutputs([{ name: 'score', parameters: { classification: 2 } }]),
        /outputs\[0\]\.parameters\.classification is not supported/,
      ],
      [
        withOutputs([{ name: 'score', parameters: { shared_memory_region: 'r' } }]),
        /shared_memory_region is not supported/,
      ],
      [
        withOutputs([{ name: 'score', parameters: { binary_data: 'yes' } }]),
        /outputs\[0\]\.parameters\.binary_data must be true or false/,
      ],
      [withOutputs([{ name: 'score', parameters: 1 }]), /outputs\[0\]\.parameters must be an object/],
      [withOutputs([{ name: 'label' }, { name: 'label' }]), /outputs\[1\]: "label" is asked for twice/],
      [withOutputs(['score']), /outputs\[0\] must be an object/],
    ];
    for (const [document, words] of cases)
      assert.match(
        refusal(() => parse(document)),
        words,
      );
  });
});

describe('infer request: depth and encoding', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  const put = (document: object, depth: number): string =>
    JSON.stringify(document).replace('"DEEP"', nested(depth));

  it('ignores members that it does not know, 8 deep at most, wherever they are', () => {
    const places: [object, RegExp][] = [
      [{ inputs: [matrix], extra: 'DEEP' }, /"extra" is nested deeper than 8/],
      [{ inputs: [{ ...matrix, extra: 'DEEP' }] }, /features: "extra" is nested deeper than 8/],
      [{ inputs: [column('alpha', [1], { extra: 'DEEP' })] }, /alpha: "extra" is nested deeper than 8/],
      [
        { inputs: [matrix], outputs: [{ name: 'score', extra: 'DEEP' }] },
        /outputs\[0\]: "extra" is nested deeper/,
      ],
    ];
    for (const [document, words] of places) {
      for (const depth of [9, 200_000])
        assert.match(
          refusal(() => parse(put(document, depth))),
          words,
        );
    }
    assert.equal(parse(put({ inputs: [matrix], extra: 'DEEP' }, 8)).rows, 1);
  });

  it('has no place where 200,000 levels do more than get a refusal', () => {
    const places: object[] = [
      { inputs: 'DEEP' },
      { inputs: ['DEEP'] },
      { inputs: [{ ...matrix, data: 'DEEP' }] },
      { inputs: [{ ...matrix, shape: 'DEEP' }] },
      { inputs: [{ ...matrix, datatype: 'DEEP' }] },
      { inputs: [{ ...matrix, name: 'DEEP' }] },
      { inputs: [{ ...matrix, parameters: 'DEEP' }] },
      { inputs: [{ ...matrix, parameters: { binary_data_size: 'DEEP' } }] },
      { inputs: [matrix], outputs: 'DEEP' },
      { inputs: [matrix], parameters: { unit: 'DEEP' } },
      { inputs: [matrix], id: 'DEEP' },
      { inputs: [column('alpha', 'DEEP')] },
    ];
    for (const document of places) refusal(() => parse(put(document, 200_000)));
  });

  it('refuses bytes that are no UTF-8 instead of replacing them', () => {
    const body = Buffer.from(JSON.stringify({ id: '@', inputs: [matrix] }));
    body[body.indexOf('@')] = 0xff;
    assert.match(
      refusal(() => parseInferRequest(body, null, PLAIN)),
      /not JSON/,
    );
  });
});
