import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import type { VersionDescriptor } from '../../domain/registry/index.ts';
import { projectRoot } from '../../platform/root.ts';
import { runPython, tritonClientPython } from '../support/python.ts';
import { ENDPOINT } from './control-plane.ts';
import { GatewayFixture, linear } from './gateway-fixture.ts';

const ROWS = [
  [1, 2, 3],
  [-4, 0.5, 0],
];

interface Output {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly binary: boolean;
  readonly dtype: string;
  readonly data: readonly number[];
}

interface Answer {
  readonly id: string | null;
  readonly version: string;
  readonly outputs: readonly Output[];
}

interface Duration {
  readonly count: number;
  readonly ns: number;
}

interface Statistics {
  readonly model_stats: readonly {
    readonly name: string;
    readonly version: string;
    readonly last_inference: number;
    readonly inference_count: number;
    readonly execution_count: number;
    readonly inference_stats: Readonly<Record<string, Duration>>;
    readonly batch_stats: readonly { readonly batch_size: number; readonly compute_infer: Duration }[];
  }[];
}

/** What a call gave, or the status and message of the client's exception. */
type Seen = { readonly ok: unknown } | { readonly status: string | null; readonly message: string };

describe('gateway: Triton’s own client, with its defaults and without', function () {
  // Includes making its virtual environment, once for each machine.
  this.timeout(300_000);
  let fixture: GatewayFixture;
  let champion: VersionDescriptor;
  let seen: Readonly<Record<string, Seen>>;

  before(async () => {
    const python = await tritonClientPython();
    fixture = await GatewayFixture.create();
    const served = await fixture.startServing();
    champion = served.champion;
    const script = join(projectRoot(), 'test', 'serving', 'tritonclient_calls.py');
    const { host } = new URL(served.client.url);
    seen = JSON.parse(await runPython(python, [script, host, ENDPOINT, champion.digest])) as typeof seen;
  });
  after(() => fixture.remove());

  function ok(name: string): unknown {
    const call = seen[name];
    assert.ok(call !== undefined, `no call "${name}"`);
    assert.ok('ok' in call, `"${name}" failed: ${JSON.stringify(call)}`);
    return call.ok;
  }

  function refused(name: string, status: string, words: RegExp): void {
    const call = seen[name];
    assert.ok(call !== undefined && 'status' in call, `"${name}" was answered: ${JSON.stringify(call)}`);
    assert.equal(call.status, status, name);
    assert.match(call.message, words, name);
  }

  it('sees server and model ready, and an unknown model not', () => {
    for (const name of ['live', 'ready', 'model ready', 'version ready']) assert.equal(ok(name), true, name);
    assert.equal(ok('unknown model ready'), false);
  });

  it('reads the metadata of server and model', () => {
    const server = ok('server metadata') as { name: string; extensions: string[] };
    assert.equal(server.name, 'slipway');
    assert.ok(server.extensions.includes('binary_tensor_data'));
    const model = ok('model metadata') as Record<string, unknown>;
    assert.deepEqual(
      [model['name'], model['versions'], model['platform']],
      [ENDPOINT, [champion.digest], 'onnx_onnxv1'],
    );
    refused('unknown metadata', '404', /no model of this name/);
  });

  const forms: Readonly<Record<string, readonly [label: boolean, score: boolean]>> = {
    defaults: [true, true],
    'JSON in': [true, true],
    'JSON out': [false, false],
    'JSON both ways': [false, false],
    'mixed out': [false, true],
    FP64: [true, true],
    gzip: [true, true],
    deflate: [true, true],
    'named version': [true, true],
    'priority, timeout and parameters': [true, true],
    'a tensor for each feature': [true, true],
    'raw binary': [true, true],
  };
  for (const [name, [labelIsBinary, scoreIsBinary]] of Object.entries(forms)) {
    it(`infers with ${name}: the model’s own scores, in the form that was asked for`, () => {
      const { version, outputs } = ok(name) as Answer;
      assert.equal(version, champion.digest);
      const label = outputs.find((output) => output.name === 'label');
      const score = outputs.find((output) => output.name === 'score');
      assert.ok(label !== undefined && score !== undefined);
      assert.deepEqual([label.datatype, label.dtype, label.shape], ['INT64', 'int64', [2]]);
      assert.deepEqual([score.datatype, score.dtype, score.shape], ['FP32', 'float32', [2]]);
      assert.deepEqual([label.binary, score.binary], [labelIsBinary, scoreIsBinary]);
      for (const [i, row] of ROWS.entries()) {
        assert.ok(Math.abs((score.data[i] as number) - linear(row)) < 1e-6);
        assert.equal(label.data[i], linear(row) >= 0.5 ? 1 : 0);
      }
    });
  }

  it('gets its request id back, and the outputs in the order that it asked for', () => {
    const { id, outputs } = ok('JSON both ways') as Answer;
    assert.equal(id, 'r-1');
    assert.deepEqual(
      outputs.map(({ name }) => name),
      ['score', 'label'],
    );
  });

  it('turns refusals into exceptions with status and message', () => {
    refused('unknown model', '404', /no model of this name/);
    refused('unknown version', '404', /no loaded version/);
    refused('wrong shape', '400', /features\.shape\[1\] must be 3/);
    refused('unknown output', '400', /outputs\[0\]\.name/);
    refused('classification', '400', /classification is not supported/);
    refused('NaN', '400', /row 0, feature "alpha": must be a finite number, not NaN/);
    refused('sequence', '400', /sequence_id is not supported/);
  });

  it('lists the repository, and is told that it cannot change it', () => {
    assert.deepEqual(ok('index'), [{ name: ENDPOINT, version: champion.digest, state: 'READY', reason: '' }]);
    refused('load', '403', /follows the route/);
    refused('unload', '403', /follows the route/);
    refused('load with a config', '400', /parameters\.config is not supported/);
  });

  it('reads statistics that add up: rows, runs, requests and batch sizes', () => {
    const rows = ROWS.length * Object.keys(forms).length;
    for (const name of ['statistics of all', 'statistics', 'statistics of a version']) {
      const [stats, ...others] = (ok(name) as Statistics).model_stats;
      assert.ok(stats !== undefined && others.length === 0, name);
      assert.deepEqual([stats.name, stats.version], [ENDPOINT, champion.digest]);
      assert.equal(stats.inference_count, rows);
      assert.equal(
        stats.batch_stats.reduce((sum, batch) => sum + batch.batch_size * batch.compute_infer.count, 0),
        rows,
      );
      assert.ok(stats.execution_count > 0 && stats.execution_count <= Object.keys(forms).length);
      assert.ok(Math.abs(Date.now() - stats.last_inference) < 300_000);
      const { success, compute_infer: computeInfer } = stats.inference_stats;
      assert.ok((success?.count ?? 0) > 0 && (success?.ns ?? 0) > 0, 'requests are counted');
      assert.ok((computeInfer?.ns ?? 0) > 0, 'runs are timed');
    }
    refused('statistics of nobody', '404', /no model of this name/);
  });
});
