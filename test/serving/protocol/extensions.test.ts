import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import { serverMetadata } from '../../../serving/protocol/metadata.ts';
import {
  parseIndexRequest,
  parseLoadRequest,
  parseUnloadRequest,
  repositoryIndex,
} from '../../../serving/protocol/repository.ts';
import { statisticsDocument, versionStatistics } from '../../../serving/protocol/statistics-document.ts';
import { ModelStatistics } from '../../../serving/statistics.ts';

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((hex) => `sha256:${hex.repeat(64)}`) as [
  string,
  string,
  string,
  string,
];

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SlipwayError && error.status === 400, String(error));
    return error.message;
  }
  return assert.fail('was not refused');
}

describe('statistics extension', () => {
  const statistics = new ModelStatistics();
  statistics.recordBatch(8, 100.4, 2000.6, 30, 1_700_000_000_123.5);
  statistics.recordBatch(1, 10, 200, 3, 1_700_000_000_500);
  statistics.recordBatch(8, 100, 1000, 30, 1_700_000_000_600);
  statistics.recordQueue(50);
  statistics.recordRequest(true, 9000);
  statistics.recordRequest(false, 70);
  const source = {
    name: 'toy',
    readyVersions: () => [A, B],
    statistics: (version: string) => (version === A ? statistics : null),
  };

  it('has the document of the extension: whole numbers, rows apart from runs, batch sizes ascending', () => {
    const none = { count: 0, ns: 0 };
    const expected = {
      model_stats: [
        {
          name: 'toy',
          version: A,
          last_inference: 1_700_000_000_600,
          inference_count: 17,
          execution_count: 3,
          inference_stats: {
            success: { count: 1, ns: 9000 },
            fail: { count: 1, ns: 70 },
            queue: { count: 1, ns: 50 },
            compute_input: { count: 3, ns: 210 },
            compute_infer: { count: 3, ns: 3201 },
            compute_output: { count: 3, ns: 63 },
            cache_hit: none,
            cache_miss: none,
          },
          response_stats: {},
          batch_stats: [
            {
              batch_size: 1,
              compute_input: { count: 1, ns: 10 },
              compute_infer: { count: 1, ns: 200 },
              compute_output: { count: 1, ns: 3 },
            },
            {
              batch_size: 8,
              compute_input: { count: 2, ns: 200 },
              compute_infer: { count: 2, ns: 3001 },
              compute_output: { count: 2, ns: 60 },
            },
          ],
          memory_usage: [],
        },
      ],
    };
    assert.deepEqual(statisticsDocument(versionStatistics(source, null)), expected);
    assert.deepEqual(statisticsDocument(versionStatistics(source, A)), expected);
    assert.deepEqual(statisticsDocument(versionStatistics(source, B)), { model_stats: [] });
  });
});

describe('model repository extension', () => {
  const source = {
    name: 'toy',
    readyVersions: () => [A, D],
    acknowledgement: () => ({
      versions: {
        [A]: { state: 'ready' },
        [B]: { state: 'loading' },
        [C]: { state: 'refused', code: 'VERSION_REVOKED', message: 'the key was revoked' },
      } as const,
    }),
  };

  it('lists each version once: what is loaded, what is loading, and why the others are not', () => {
    const ready = [A, D].map((version) => ({ name: 'toy', version, state: 'READY', reason: '' }));
    assert.deepEqual(repositoryIndex([source], false), [
      ...ready,
      { name: 'toy', version: B, state: 'LOADING', reason: '' },
      { name: 'toy', version: C, state: 'UNAVAILABLE', reason: 'VERSION_REVOKED: the key was revoked' },
    ]);
    assert.deepEqual(repositoryIndex([source], true), ready);
  });

  it('reads the bodies that clients send, also none', () => {
    const parse = (text: string): Buffer => Buffer.from(text);
    for (const [text, onlyReady] of [
      ['', false],
      ['{}', false],
      ['{"ready":true}', true],
    ] as const) {
      assert.deepEqual(parseIndexRequest(parse(text)), { onlyReady });
    }
    for (const text of ['', '{}', '{"parameters":{}}', '{"parameters":{"mine":1}}'])
      parseLoadRequest(parse(text));
    assert.deepEqual(parseUnloadRequest(parse('')), { unloadDependents: false });
    const unload = '{"parameters":{"unload_dependents":true}}';
    assert.deepEqual(parseUnloadRequest(parse(unload)), { unloadDependents: true });
  });

  it('refuses another file or configuration than what was signed, and names the field of what is wrong', () => {
    const deep = `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const cases: [(body: Buffer) => unknown, string, RegExp][] = [
      [parseLoadRequest, '{"parameters":{"config":"{}"}}', /parameters\.config is not supported.*verified/],
      [
        parseLoadRequest,
        '{"parameters":{"file:1/model.onnx":"AA=="}}',
        /parameters\.file:1\/model\.onnx is not/,
      ],
      [parseLoadRequest, '{"parameters":[]}', /parameters must be an object/],
      [parseLoadRequest, '{"parameters":{"a":{}}}', /parameters\.a must be a string/],
      [
        parseUnloadRequest,
        '{"parameters":{"unload_dependents":1}}',
        /unload_dependents must be true or false/,
      ],
      [parseIndexRequest, '{"ready":"yes"}', /ready must be true or false/],
      [parseIndexRequest, '[]', /must be a JSON object/],
      [parseIndexRequest, '{', /not JSON/],
      [parseIndexRequest, deep, /"x" is nested deeper than 8/],
      [parseLoadRequest, deep, /"x" is nested deeper than 8/],
    ];
    for (const [parse, text, words] of cases)
      assert.match(
        refusal(() => parse(Buffer.from(text))),
        words,
      );
  });

  it('is listed among the extensions only when models can be controlled', () => {
    const extensions = (modelControl: boolean): unknown =>
      (serverMetadata('1.0.0', { modelControl }) as Record<string, unknown>)['extensions'];
    assert.deepEqual(extensions(false), ['binary_tensor_data', 'statistics']);
    assert.deepEqual(extensions(true), ['binary_tensor_data', 'statistics', 'model_repository']);
  });
});
