/** Who takes part, and how each is started with the same model file. */
import { copyFile, cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../../platform/root.ts';
import { runPython } from '../../../test/support/python.ts';
import { ENDPOINT } from '../../../test/serving/control-plane.ts';
import type { BenchModel } from './models.ts';
import { freePort, startForked, startServer } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

export type Encoding = 'json' | 'binary';

export interface Contestant {
  readonly name: string;
  readonly title: string;
  readonly encoding: Encoding;
  /** Contestants with the same one share a process. */
  readonly server: string;
  start(context: StartContext): Promise<ServerProcess>;
  /** It answers something else than the model's score. */
  readonly canned?: boolean;
}

export interface StartContext {
  readonly model: BenchModel;
  readonly core: number | null;
  /** For this server alone. */
  readonly folder: string;
  /** The benchmark's own program, for servers that are forked from it. */
  readonly program: string;
  readonly nodeArgs?: readonly string[];
}

const HERE = join(projectRoot(), 'bench', 'serving', 'peers');
/** On one core 1 costs Triton least at one connection; at 16 and 64, 1, 2 and 8 cost the same within the noise. */
const TRITON_HTTP_THREADS = 1;
/** Rows of a batch at most, everywhere. */
const MAX_BATCH = 64;

const own =
  (what: string) =>
  ({ model, core, folder, program, nodeArgs = [] }: StartContext): Promise<ServerProcess> =>
    startForked({
      command: process.execPath,
      args: [...nodeArgs, program, '--serve', what, model.file, String(model.features)],
      logFile: join(folder, 'log.txt'),
      core,
    });

const mlserver = (maxBatchSize: number, maxBatchTime: number) => async (context: StartContext) => {
  const { folder, core, model } = context;
  const python = await environment('requirements-mlserver.txt');
  const [port, grpcPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  await copyFile(join(HERE, 'mlserver_model.py'), join(folder, 'mlserver_model.py'));
  await writeJson(join(folder, 'settings.json'), {
    debug: false,
    host: '127.0.0.1',
    http_port: port,
    grpc_port: grpcPort,
    metrics_port: metricsPort,
    // Inference in the serving process: on one core a pool of processes only adds the way between them.
    parallel_workers: 0,
    gzip_enabled: false,
  });
  await writeJson(join(folder, 'model-settings.json'), {
    name: ENDPOINT,
    implementation: 'mlserver_model.OnnxModel',
    parameters: { uri: model.file },
    max_batch_size: maxBatchSize,
    max_batch_time: maxBatchTime,
  });
  const args = ['-c', 'from mlserver.cli import main; main()', 'start', folder];
  const env = { PATH: '/usr/bin:/bin', PYTHONPATH: folder, OMP_NUM_THREADS: '1', LANG: 'C.UTF-8' };
  const logFile = join(folder, 'log.txt');
  return startServer(port, ENDPOINT, { command: python, args, environment: env, folder, logFile, core });
};

interface TritonKind {
  readonly backend: 'onnxruntime' | 'python';
  readonly cache?: boolean;
  /** Holds `onnxruntime/libtriton_onnxruntime.so` and the ONNX Runtime that it needs. */
  readonly backends?: string;
}

const triton = (kind: TritonKind) => async (context: StartContext) => {
  const { folder, core, model } = context;
  const python = await environment('requirements-triton.txt');
  const probe =
    'import sysconfig as s; print(s.get_path("purelib"), s.get_config_var("LIBDIR"), s.get_python_version(), sep="\\n")';
  const found = await runPython(python, ['-I', '-c', probe]);
  const [packages = '', libraries = '', version = ''] = found.trim().split('\n');
  const home = join(packages, 'pytriton', 'tritonserver');
  const version1 = join(folder, 'models', ENDPOINT, '1');
  await mkdir(version1, { recursive: true });
  await copyFile(model.file, join(version1, 'model.onnx'));
  await writeFile(join(dirname(version1), 'config.pbtxt'), tritonConfig(kind, model.features));
  const backends = kind.backends ?? join(folder, 'backends');
  if (kind.backend === 'python') {
    await copyFile(join(HERE, 'triton_model.py'), join(version1, 'model.py'));
    await cp(join(home, 'backends', 'python'), join(backends, 'python'), { recursive: true });
    await cp(join(home, 'python_backend_stubs', version), join(backends, 'python'), { recursive: true });
  }
  const port = await freePort();
  const metricsPort = await freePort();
  const args = [`--model-repository=${join(folder, 'models')}`, `--backend-directory=${backends}`];
  args.push('--http-address=127.0.0.1', `--http-port=${port}`, `--http-thread-count=${TRITON_HTTP_THREADS}`);
  args.push('--allow-grpc=false', `--metrics-port=${metricsPort}`, '--metrics-address=127.0.0.1');
  // Room for this run's few requests; the folder is where the cache's library is.
  if (kind.cache === true)
    args.push('--cache-config=local,size=1048576', `--cache-directory=${join(home, 'caches')}`);
  const env = {
    // The server's Python finds its packages through the interpreter that comes first here.
    PATH: `${dirname(python)}:/usr/bin:/bin`,
    LD_LIBRARY_PATH: `${libraries}:${join(packages, 'nvidia_pytriton.libs')}`,
    OMP_NUM_THREADS: '1',
  };
  const command = join(home, 'bin', 'tritonserver');
  return startServer(port, ENDPOINT, {
    command,
    args,
    environment: env,
    logFile: join(folder, 'log.txt'),
    core,
  });
};

function tritonConfig({ backend, cache }: TritonKind, features: number): string {
  const output = (name: string, type: string): string =>
    backend === 'onnxruntime'
      ? `{ name: "${name}" data_type: ${type} dims: [ 1 ] reshape: { shape: [ ] } }`
      : `{ name: "${name}" data_type: ${type} dims: [ 1 ] }`;
  return [
    `name: "${ENDPOINT}"`,
    `backend: "${backend}"`,
    `max_batch_size: ${MAX_BATCH}`,
    `input [ { name: "features" data_type: TYPE_FP32 dims: [ ${features} ] } ]`,
    `output [ ${output('label', 'TYPE_INT64')}, ${output('score', 'TYPE_FP32')} ]`,
    'instance_group [ { kind: KIND_CPU count: 1 } ]',
    // The server's own default and advice: no delay, no preferred sizes.
    'dynamic_batching { }',
    'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }',
    'parameters { key: "inter_op_thread_count" value: { string_value: "1" } }',
    cache === true ? 'response_cache { enable: true }' : '',
  ].join('\n');
}

export function contestants(tritonBackends: string | undefined): readonly Contestant[] {
  const real: Contestant[] = [];
  if (tritonBackends !== undefined) {
    const start = triton({ backend: 'onnxruntime', backends: tritonBackends });
    const server = 'triton-onnx';
    real.push({
      name: 'triton-onnx',
      title: 'Triton, ONNX Runtime backend',
      encoding: 'json',
      server,
      start,
    });
    const title = 'Triton, ONNX Runtime backend, binary tensors';
    real.push({ name: 'triton-onnx-binary', title, encoding: 'binary', server, start });
  }
  const gateway = { server: 'slipway', start: own('gateway') };
  const cached = triton({ backend: 'python', cache: true });
  const python = triton({ backend: 'python' });
  const plain = { encoding: 'json' } as const;
  return [
    { name: 'slipway', title: 'Slipway', ...plain, ...gateway },
    { name: 'slipway-binary', title: 'Slipway, binary tensors', encoding: 'binary', ...gateway },
    ...real,
    {
      name: 'triton-python',
      title: 'Triton, Python backend',
      ...plain,
      server: 'triton-python',
      start: python,
    },
    {
      name: 'triton-cache',
      title: 'Triton from its cache, no model',
      ...plain,
      server: 'triton-cache',
      start: cached,
    },
    { name: 'mlserver', title: 'MLServer', ...plain, server: 'mlserver', start: mlserver(0, 0) },
    {
      name: 'mlserver-batching',
      title: 'MLServer, adaptive batching',
      ...plain,
      server: 'mlserver-batching',
      start: mlserver(MAX_BATCH, 0.002),
    },
    {
      name: 'canned',
      title: 'Canned answer, node:http',
      ...plain,
      canned: true,
      server: 'canned',
      start: own('canned'),
    },
  ];
}

const made = new Map<string, Promise<string>>();

/** The Python of a virtual environment in the user's cache folder, made when it is needed first. */
function environment(requirements: string): Promise<string> {
  const script = join(projectRoot(), 'test', 'support', 'make_venv.py');
  const python =
    made.get(requirements) ??
    runPython('python3', [script, join(HERE, requirements)]).then((output) => output.trim());
  made.set(requirements, python);
  return python;
}

function writeJson(file: string, content: object): Promise<void> {
  return writeFile(file, JSON.stringify(content, null, 2));
}
