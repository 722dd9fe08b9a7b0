/**
 * The beginning and the end of an experiment, outside of its workflow. Each may run twice: route changes are written
 * under a key, and the registry knows which run an experiment belongs to.
 */
import { SlipwayError } from '../domain/errors.ts';
import type { ExperimentPlan } from '../domain/experiments/index.ts';
import type { Digest, RouteExperimentArm } from '../domain/routing/route.ts';
import type { ExperimentName, ExperimentStore, OpenExperiment } from './experiment-ports.ts';
import type { ExperimentEnd } from './observe-experiment.ts';
import type { RouteStore } from './ports.ts';
import type { RolloutOwnership } from './rollout-ownership.ts';

export interface PreparedExperiment {
  readonly plan: ExperimentPlan;
  /** With the versions that the arms stand for now. */
  readonly arms: readonly RouteExperimentArm[];
  /** Of the route that this was decided on. */
  readonly generation: number;
}

export interface ExperimentDependencies {
  readonly experiments: ExperimentStore;
  readonly routes: RouteStore;
  readonly rollouts: Pick<RolloutOwnership, 'owner'>;
  /** Whether the workflow of an experiment runs. @throws UNAVAILABLE when that cannot be learnt now */
  readonly isExperimentRunning: (name: ExperimentName) => Promise<boolean>;
}

export function createExperimentActivities(dependencies: ExperimentDependencies) {
  const { experiments, routes } = dependencies;
  return {
    /**
     * What the manifest declares, with versions for its arms, if it may begin now.
     * @throws EXPERIMENT_NOT_FOUND, EXPERIMENT_RUNNING, ROLLOUT_IN_PROGRESS, NO_CHAMPION, VERSION_REVOKED …
     */
    prepareExperiment: (name: ExperimentName) => prepare(dependencies, name),

    /** From here on the arms have their shares. */
    async openExperiment(input: OpenExperiment): Promise<{ readonly startedAtMs: number }> {
      const { atMs } = await experiments.open(input);
      return { startedAtMs: atMs };
    },

    /**
     * All traffic to the champion, if the route still has this experiment: whatever has replaced it is not to be
     * undone. A lease that lapsed leaves it in the route.
     */
    async restoreFromExperiment({
      endpoint,
      name,
      epoch,
      actor,
      reason,
    }: ExperimentName & {
      readonly epoch: number;
      readonly actor: string;
      readonly reason: string;
    }): Promise<{ readonly generation: number | null }> {
      const present = await routes.read(endpoint);
      if (present?.experiment?.name !== name || present.epoch !== epoch) return { generation: null };
      const key = `experiment/${endpoint}/${name}/end/${epoch}`;
      const expectedGeneration = present.generation;
      const change = { kind: 'restore' } as const;
      const request = { endpoint, epoch, expectedGeneration, change, key, actor, reason };
      try {
        const { route } = await routes.change(request);
        return { generation: route.generation };
      } catch (error) {
        if (error instanceof SlipwayError && error.code === 'EPOCH_FENCED') return { generation: null };
        throw error;
      }
    },

    /** A last look, and the end in the registry. Never opened: nothing to end. */
    async endExperiment(
      input: ExperimentName & ExperimentEnd & { readonly runId: string; readonly actor: string },
    ): Promise<void> {
      try {
        await experiments.advance(input);
      } catch (error) {
        // Never opened, the second attempt, or rewards that cannot be counted: it must end all the same. What may
        // pass, such as a database that is away, is tried again.
        if (!(error instanceof SlipwayError) || error.retryable) throw error;
      }
      await experiments.end(input);
    },
  };
}

export type ExperimentActivities = ReturnType<typeof createExperimentActivities>;

async function prepare(
  dependencies: ExperimentDependencies,
  { endpoint, name }: ExperimentName,
): Promise<PreparedExperiment> {
  const { experiments, routes, rollouts } = dependencies;
  const plan = await experiments.planOf({ endpoint, name });
  if (await experiments.hasBegun({ endpoint, name })) {
    throw new SlipwayError(
      'WRONG_PHASE',
      `experiment ${name} of ${endpoint} has run already; declare it under another name`,
    );
  }
  await clearLost(dependencies, endpoint, name);
  const route = await routes.read(endpoint);
  if (route === null) throw new SlipwayError('NO_CHAMPION', `endpoint ${endpoint} has no champion yet`);
  if (route.experiment !== null) {
    const running = route.experiment.name;
    throw new SlipwayError('EXPERIMENT_RUNNING', `experiment ${running} runs on ${endpoint}; stop it first`);
  }
  if (route.candidate !== null || (await rollouts.owner(endpoint)) !== null) {
    throw new SlipwayError(
      'ROLLOUT_IN_PROGRESS',
      `a rollout holds ${endpoint}; start the experiment when it has ended`,
    );
  }
  const arms = await resolveArms(experiments, endpoint, route.champion, plan);
  return { plan, arms, generation: route.generation };
}

async function resolveArms(
  experiments: ExperimentStore,
  endpoint: string,
  champion: Digest,
  plan: ExperimentPlan,
): Promise<readonly RouteExperimentArm[]> {
  const arms: RouteExperimentArm[] = [];
  for (const { name: arm, version: reference } of plan.arms) {
    const version = reference === 'champion' ? champion : await experiments.resolve(endpoint, reference);
    const same = arms.find((other) => other.version === version);
    if (same !== undefined) {
      throw new SlipwayError(
        'INVALID_REQUEST',
        `arms ${same.name} and ${arm} are the same version, ${version}`,
      );
    }
    arms.push({ name: arm, version });
  }
  return arms;
}

/** An experiment whose workflow was terminated has lost its lease in gateways; its row and route must not be in the way. */
async function clearLost(
  { routes, experiments, isExperimentRunning }: ExperimentDependencies,
  endpoint: string,
  starting: string,
): Promise<void> {
  const route = await routes.read(endpoint);
  if (route === null || route.experiment === null) return;
  const { name } = route.experiment;
  // Of one name only one workflow runs: the one that asks.
  if (name !== starting && (await isExperimentRunning({ endpoint, name }))) return;
  const reason = 'its workflow no longer runs';
  const epoch = await routes.nextEpoch(endpoint);
  const key = `experiment/${endpoint}/${name}/clear/${epoch}`;
  const { generation: expectedGeneration } = route;
  const change = { kind: 'restore' } as const;
  await routes.change({ endpoint, epoch, expectedGeneration, change, key, actor: 'experiment', reason });
  await experiments.end({
    endpoint,
    name,
    runId: null,
    reason,
    outcome: 'interrupted',
    winner: null,
    actor: 'experiment',
  });
}
