/** Whether a V2 server has the model that a version names, and what it says about it. */
import { setTimeout as delay } from 'node:timers/promises';
import { SlipwayError } from '../../domain/errors.ts';
import { isObject, show } from '../protocol/refusal.ts';
import { isDatatype, isInteger } from '../protocol/tensor-datatype.ts';
import type { RemoteClient, RemoteReply } from './remote-client.ts';
import { remoteUnavailable } from './run-failure.ts';

const MAX_BYTES = 1024 * 1024;
const POLL_MS = 500;

export interface RemoteServer {
  /** Whether tensors may be sent and asked for as raw bytes. */
  readonly binary: boolean;
}

export interface ContractLimits {
  readonly timeoutMs: number;
  /** A model that was announced together with this version may still be loading there. */
  readonly readyWithinMs: number;
}

/**
 * @throws SlipwayError `REMOTE_UNAVAILABLE` when the model does not get ready in time, `MODEL_LOAD_FAILED` when it is
 * another one than this endpoint needs
 */
export async function checkRemoteModel(
  client: RemoteClient,
  model: string,
  features: number,
  { timeoutMs, readyWithinMs }: ContractLimits,
): Promise<RemoteServer> {
  const get = (path: string): Promise<RemoteReply> =>
    client.call({ method: 'GET', path, timeoutMs, maxBytes: MAX_BYTES });
  const path = `/v2/models/${encodeURIComponent(model)}`;
  await untilReady(() => get(`${path}/ready`), `${client.url}${path}/ready`, readyWithinMs);
  const problem = metadataProblem(documentOf(await get(path), 'model'), features);
  if (problem !== null)
    throw new SlipwayError('MODEL_LOAD_FAILED', `the remote model ${model} does not fit: ${problem}`);
  const { extensions } = documentOf(await get('/v2'), 'server');
  return { binary: Array.isArray(extensions) && extensions.includes('binary_tensor_data') };
}

async function untilReady(
  ask: () => Promise<RemoteReply>,
  where: string,
  readyWithinMs: number,
): Promise<void> {
  const endMs = performance.now() + readyWithinMs;
  for (;;) {
    const isLast = performance.now() + POLL_MS > endMs;
    const status = await ask().then(
      (reply) => reply.status,
      (error: unknown) => {
        // A server that is just starting does not listen yet.
        if (isLast || !isAway(error)) throw error;
        return null;
      },
    );
    if (status === 200) return;
    if (isLast) throw remoteUnavailable(`${where} answered ${status} for ${readyWithinMs} ms`);
    await delay(POLL_MS);
  }
}

function isAway(error: unknown): boolean {
  return error instanceof SlipwayError && error.code === 'REMOTE_UNAVAILABLE';
}

function documentOf({ status, body }: RemoteReply, what: string): Readonly<Record<string, unknown>> {
  if (status !== 200) throw remoteUnavailable(`the ${what} metadata was answered with status ${status}`);
  try {
    const document: unknown = JSON.parse(body.toString());
    if (isObject(document)) return document;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new SlipwayError('MODEL_LOAD_FAILED', `the remote server's ${what} metadata is no JSON object`);
}

/** In words; null when requests for this endpoint can be sent to it. Further outputs do no harm. */
function metadataProblem(document: Readonly<Record<string, unknown>>, features: number): string | null {
  const inputs = tensors(document['inputs']);
  const outputs = tensors(document['outputs']);
  const [input] = inputs;
  if (inputs.length !== 1 || input?.name !== 'features')
    return `its inputs are ${list(inputs)}, and it is sent features alone`;
  if (input.datatype !== 'FP32') return `features is ${show(input.datatype)}, not FP32`;
  if (!matches(input.shape, [-1, features]))
    return `features has the shape ${JSON.stringify(input.shape)?.slice(0, 100)}, not [-1, ${features}]`;
  const label = outputs.find(({ name }) => name === 'label');
  const score = outputs.find(({ name }) => name === 'score');
  if (label === undefined || score === undefined)
    return `its outputs are ${list(outputs)}, and label and score are needed`;
  if (!isDatatype(label.datatype) || !isInteger(label.datatype))
    return `label is ${show(label.datatype)}, not an integer type`;
  return score.datatype === 'FP32' ? null : `score is ${show(score.datatype)}, not FP32`;
}

interface NamedTensor {
  readonly name: unknown;
  readonly datatype: unknown;
  readonly shape: unknown;
}

function tensors(list: unknown): readonly NamedTensor[] {
  if (!Array.isArray(list)) return [];
  return list.filter(isObject).map(({ name, datatype, shape }) => ({ name, datatype, shape }));
}

function list(named: readonly NamedTensor[]): string {
  return named.length === 0 ? 'none' : named.map(({ name }) => String(name)).join(', ');
}

/** A server may leave any length open. */
function matches(shape: unknown, wanted: readonly number[]): boolean {
  if (!Array.isArray(shape) || shape.length !== wanted.length) return false;
  return wanted.every((length, axis) => length === shape[axis] || Number(shape[axis]) === -1);
}
