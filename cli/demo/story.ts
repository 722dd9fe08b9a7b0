/**
 * The story of the demo: seven chapters on real rows against a real stack. `npm run demo` prints them as a timeline,
 * `test/stories` runs each as a test. A chapter that does not happen as told throws.
 */
import type { ApiClient } from '../../api/client.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { ReleaseParameters } from '../../domain/release/release.ts';
import type { ModelDocument } from '../manifest-files.ts';
import type { Replay, Witness } from './replay.ts';
import { approve, expect, finish, follow, startRelease } from './steps.ts';
import type { FinishedRelease } from './steps.ts';

export interface StoryContext {
  readonly engineer: ApiClient;
  readonly approvers: readonly ApiClient[];
  readonly model: ModelDocument;
  readonly gateway: string;
  /** Made in the third chapter's place, because there is nobody to answer before. */
  readonly replay: Replay;
  readonly say: (line: string) => void;
  readonly facts: StoryFacts;
}

/** What the report holds; filled in chapter by chapter. */
export interface StoryFacts {
  releases: FinishedRelease[];
  shadow?: { readonly usersReached: number; readonly reason: string };
  canary?: {
    /** From the first bad answer that a caller got to the last gateway's acknowledgement of the restored route. */
    readonly faultToRolledBackSeconds: number;
    readonly badAnswers: number;
    readonly answersMeanwhile: number;
    readonly reason: string;
  };
  promotion?: {
    readonly verdicts: readonly string[];
    readonly accuracyBefore: number;
    readonly accuracyAfter: number;
  };
  rollback?: {
    readonly milliseconds: number;
    readonly wasStandby: boolean;
    readonly from: string;
    readonly to: string;
  };
  audit?: { readonly rows: number };
  lineage?: readonly string[];
}

export interface Chapter {
  readonly title: string;
  readonly play: (context: StoryContext) => Promise<void>;
}

/** Enough rows of the market with Victoria for release 4 to learn from; the first release knows none of them. */
const A_YEAR_LATER = '1998-05-01T00:00:00Z';

export const CHAPTERS: readonly Chapter[] = [
  { title: 'a wrong manifest is refused whole, the right one is applied', play: applyManifest },
  { title: 'release 1 becomes the first champion, with two approvals', play: firstChampion },
  { title: 'traffic: real rows through the gateway, labels later', play: startTraffic },
  {
    title: 'release 2 was scaled in training only: the shadow stops it before any user sees it',
    play: shadowStops,
  },
  {
    title: 'release 3 fails on inputs that training never had: the canary rolls back by itself',
    play: canaryRollsBack,
  },
  { title: 'release 4 is better: shadow, 5 %, 25 %, promoted with proof at each step', play: promoted },
  { title: 'rollback to the former champion, without reloading it', play: rollBack },
];

async function applyManifest({ engineer, model, say }: StoryContext): Promise<void> {
  const wrong = structuredClone(model.manifest) as {
    spec: { target: string; rollout: { steps: { weight: number }[] } };
  };
  wrong.spec.target = 'nswprice';
  wrong.spec.rollout.steps[0]!.weight = 120;
  const refusal = await engineer.apply(model.name, { manifest: wrong, sources: model.sources }).then(
    () => null,
    (error: unknown) => error,
  );
  expect(
    refusal instanceof SlipwayError && refusal.code === 'INVALID_MANIFEST',
    'a wrong manifest is refused',
  );
  for (const { file, path, reason } of (refusal as SlipwayError).problems)
    say(`refused: ${file ?? ''} ${path}: ${reason}`);
  expect((refusal as SlipwayError).problems.length >= 2, 'every problem is listed');
  const applied = await engineer.apply(model.name, { manifest: model.manifest, sources: model.sources });
  say(`applied ${applied.name}, manifest ${applied.manifestDigest.slice(0, 19)}…`);
}

async function firstChampion(context: StoryContext): Promise<void> {
  const release = await startRelease(context, { parameters: {} });
  await approve(context, release, 2);
  const finished = await finish(context, release);
  expect(
    finished.outcome === 'promoted',
    `release 1 is promoted, not ${finished.outcome}: ${finished.reason}`,
  );
}

async function startTraffic({ replay, say }: StoryContext): Promise<void> {
  say(
    `replaying from ${replay.nowIso} at ${replay.requestsPerSecond} rows a second (${Math.round(replay.requestsPerSecond * 1800).toLocaleString('en')} × real time)`,
  );
  replay.start();
  const witness = await collect(replay, 4000);
  expect(
    witness.answered > 100 && witness.bad === 0,
    `the champion answers everything (${witness.bad} of ${witness.answered} bad)`,
  );
  say(`${witness.answered} answers, none bad, right on ${percent(witness.right)} of the rows`);
}

async function shadowStops(context: StoryContext): Promise<void> {
  const { replay, facts, say } = context;
  const parameters: ReleaseParameters = { standardize: ['period', 'nswprice'], scaler_in_graph: false };
  const release = await startRelease(context, { parameters });
  await approve(context, release, 1);
  replay.takeWitness();
  const finished = await finish(context, release);
  const witness = replay.takeWitness();
  expect(
    finished.outcome === 'rolled_back',
    `release 2 is rolled back, not ${finished.outcome}: ${finished.reason}`,
  );
  expect(
    finished.steps.length === 1 && finished.steps[0]!.kind === 'shadow',
    'it never got further than the shadow',
  );
  const usersReached = witness.perVersion[finished.candidate!] ?? 0;
  expect(usersReached === 0, `no user saw it (${usersReached} did)`);
  facts.shadow = { usersReached, reason: finished.reason };
  say(`no user saw it: ${witness.answered} answers meanwhile, all by the champion`);
}

async function canaryRollsBack(context: StoryContext): Promise<void> {
  const { replay, facts, say } = context;
  const release = await startRelease(context, {
    parameters: { bucket_feature: 'vicdemand' },
    skipShadow: true,
  });
  await approve(context, release, 1);
  replay.takeWitness();
  const finished = await finish(context, release);
  const witness = replay.takeWitness();
  expect(
    finished.outcome === 'rolled_back',
    `release 3 is rolled back, not ${finished.outcome}: ${finished.reason}`,
  );
  expect(witness.firstBadMs !== null, 'callers got bad answers');
  const faultToRolledBackSeconds = (finished.endedAtMs - witness.firstBadMs!) / 1000;
  facts.canary = {
    faultToRolledBackSeconds,
    badAnswers: witness.bad,
    answersMeanwhile: witness.answered,
    reason: finished.reason,
  };
  say(
    `${faultToRolledBackSeconds.toFixed(1)} s from the first bad answer to rolled back; ${witness.bad} bad answers among ${witness.answered}`,
  );
  const after = await collect(replay, 1500);
  expect(after.bad === 0, `no bad answer after the rollback (${after.bad})`);
}

async function promoted(context: StoryContext): Promise<void> {
  const { replay, facts, say, model } = context;
  replay.skipTo(A_YEAR_LATER);
  say(`a year of rows is skipped: it is ${replay.nowIso} now, and the champion has grown old`);
  const before = await collect(replay, 1500);
  const parameters: ReleaseParameters = { features: [...model.data.features], train_before: A_YEAR_LATER };
  const release = await startRelease(context, { parameters });
  await approve(context, release, 1);
  const finished = await finish(context, release);
  expect(
    finished.outcome === 'promoted',
    `release 4 is promoted, not ${finished.outcome}: ${finished.reason}`,
  );
  const verdicts = finished.steps.map(({ kind, weight, verdict }) => `${kind} ${weight} %: ${verdict}`);
  expect(
    finished.steps.length === 3 && finished.steps.every(({ verdict }) => verdict === 'PROVEN_SAFE'),
    `proven at each step: ${verdicts.join(', ')}`,
  );
  replay.takeWitness();
  const after = await collect(replay, 1500);
  expect(
    after.right > before.right,
    `it is better on live rows: ${percent(before.right)} before, ${percent(after.right)} after`,
  );
  facts.promotion = { verdicts, accuracyBefore: before.right, accuracyAfter: after.right };
  say(`right on ${percent(before.right)} of the rows before, ${percent(after.right)} now`);
}

async function rollBack(context: StoryContext): Promise<void> {
  const { engineer, replay, facts, say, model } = context;
  const rollback = await engineer.rollback(model.name, { reason: 'the demo wants to see it' });
  expect(rollback.wasStandby, 'the former champion was still loaded');
  facts.rollback = rollback;
  say(
    `back to ${short(rollback.to)} in ${rollback.milliseconds} ms, acknowledged by every gateway, nothing reloaded`,
  );
  replay.takeWitness();
  const witness = await collect(replay, 1000);
  expect(witness.bad === 0 && (witness.perVersion[rollback.to] ?? 0) > 0, 'the former champion answers');
  const audit = await engineer.verifyAudit();
  expect(audit.intact, `the audit log is whole: ${JSON.stringify(audit.firstBad)}`);
  facts.audit = { rows: audit.rows };
  say(`audit log whole: ${audit.rows} rows in ${audit.streams} streams`);
  const chain = await engineer.lineage(rollback.from);
  facts.lineage = follow(chain);
  for (const line of facts.lineage) say(line);
}

async function collect(replay: Replay, ms: number): Promise<Witness> {
  replay.takeWitness();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return replay.takeWitness();
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const short = (digest: string): string => digest.slice(0, 19);
