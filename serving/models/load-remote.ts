/** Makes a session of a model that runs in another server, once that is shown to run what was signed. */
import type { LoadedModel } from './load-model.ts';
import type { GoldenRows } from './golden-rows.ts';
import { RemoteClient } from './remote-client.ts';
import { checkRemoteModel } from './remote-contract.ts';
import { proveRemote } from './remote-proof.ts';
import { RemoteSession } from './remote-session.ts';
import type { RemoteBackend } from './remote-session.ts';
import type { Digest } from '../../domain/routing/route.ts';

export interface RemoteSettings {
  /** Batches that one version's server gets at once. */
  readonly concurrency: number;
  /** How often it is asked whether it still answers what was signed. */
  readonly recheckMs: number;
  /** How long its model may take to become ready. */
  readonly readyWithinMs: number;
  /** For one call while loading: the first run on a GPU takes longer than others. */
  readonly loadTimeoutMs: number;
}

export const DEFAULT_REMOTE_SETTINGS: RemoteSettings = {
  concurrency: 4,
  recheckMs: 60_000,
  readyWithinMs: 10_000,
  loadTimeoutMs: 10_000,
};

export interface RemoteOrder {
  readonly backend: RemoteBackend;
  readonly digest: Digest;
  readonly golden: GoldenRows;
  readonly maxBatchRows: number;
  readonly runTimeoutMs: number;
  readonly settings: RemoteSettings;
  readonly onLost: (reason: string) => void;
}

const VERSION_CHARACTERS = 12;

/** Champion and candidate are two models there: each version has its own name. */
export function remoteModelName({ model }: RemoteBackend, digest: Digest): string {
  const version = digest.slice('sha256:'.length).slice(0, VERSION_CHARACTERS);
  return model.replaceAll('{version}', version);
}

/** @throws SlipwayError `REMOTE_UNAVAILABLE` or `MODEL_LOAD_FAILED` */
export async function loadRemote(order: RemoteOrder): Promise<LoadedModel> {
  const { backend, digest, golden, maxBatchRows, runTimeoutMs, settings, onLost } = order;
  const { concurrency, recheckMs, readyWithinMs, loadTimeoutMs: timeoutMs } = settings;
  const model = remoteModelName(backend, digest);
  // One more than there are runs, so that a check does not wait behind them.
  const client = new RemoteClient(backend.url, concurrency + 1);
  try {
    const columns = golden.features.length / golden.scores.length;
    const { binary } = await checkRemoteModel(client, model, columns, { timeoutMs, readyWithinMs });
    const common = { client, model, binary, concurrency, recheckMs, maxBatchRows, golden, onLost };
    const trial = new RemoteSession({ ...common, runTimeoutMs: timeoutMs });
    const proof = await proveRemote((rows, count) => trial.run(rows, count), golden, maxBatchRows, model);
    const session = new RemoteSession({ ...common, runTimeoutMs });
    session.watch(trial.answeredBy);
    return { session, cheap: false, quickToCreate: false, ...proof };
  } catch (error) {
    client.close();
    throw error;
  }
}
