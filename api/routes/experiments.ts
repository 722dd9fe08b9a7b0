import { requireRole } from '../auth.ts';
import { evaluateShares, experimentDetail, statusOf } from '../experiment-detail.ts';
import type { ApiPorts } from '../ports.ts';
import {
  EvaluateBody,
  ExperimentDetailSchema,
  ExperimentListSchema,
  ExperimentParams,
  ExperimentRunSchema,
  HistoryQuery,
  HistorySchema,
  ListExperimentsQuery,
  OffPolicySchema,
  RewardsBody,
  RewardsSchema,
  StopBody,
} from '../schemas/experiment.ts';
import type { ApiInstance } from './api-instance.ts';

const tags = ['experiments'];
const path = '/v1/models/:name/experiments/:experiment';

export function experimentRoutes(app: ApiInstance, ports: ApiPorts): void {
  runRoutes(app, ports);
  readRoutes(app, ports);
  rewardRoute(app, ports);
}

function runRoutes(app: ApiInstance, { models, experimentRuns }: ApiPorts): void {
  app.post(
    `${path}/start`,
    {
      schema: {
        operationId: 'startExperiment',
        summary:
          'Starts an experiment as the manifest declares it now; answers when its arms have their shares',
        tags,
        params: ExperimentParams,
        response: { 200: ExperimentRunSchema },
      },
    },
    async (request) => {
      const { name, experiment } = request.params;
      const { actor } = requireRole(request, 'engineer', 'operator', 'admin');
      await models.get(name);
      return experimentRuns.start({ endpoint: name, name: experiment, actor });
    },
  );

  app.post(
    `${path}/stop`,
    {
      schema: {
        operationId: 'stopExperiment',
        summary: 'Ends a running experiment; answers when the champion has all traffic back',
        tags,
        params: ExperimentParams,
        body: StopBody,
        response: { 200: ExperimentRunSchema },
      },
    },
    async (request) => {
      const { name, experiment } = request.params;
      const { actor } = requireRole(request, 'engineer', 'operator', 'admin');
      const { reason } = request.body;
      return experimentRuns.stop({ endpoint: name, name: experiment }, { actor, reason });
    },
  );
}

function readRoutes(app: ApiInstance, { experiments, routes }: ApiPorts): void {
  app.get(
    '/v1/experiments',
    {
      schema: {
        operationId: 'listExperiments',
        summary: 'Experiments that have begun, newest first',
        tags,
        querystring: ListExperimentsQuery,
        response: { 200: ExperimentListSchema },
      },
    },
    async ({ query: { model } }) => {
      const found = await experiments.list(model);
      const listed = found.map(async (experiment) => ({
        ...experiment,
        status: statusOf(
          experiment,
          experiment.outcome === null ? await routes.read(experiment.endpoint) : null,
        ),
      }));
      return { experiments: await Promise.all(listed) };
    },
  );

  app.get(
    path,
    {
      schema: {
        operationId: 'getExperiment',
        summary:
          'An experiment: arms, shares, rewards, confidence sequences, posteriors, and the result so far',
        tags,
        params: ExperimentParams,
        response: { 200: ExperimentDetailSchema },
      },
    },
    async ({ params: { name, experiment } }) => {
      const stored = await experiments.get({ endpoint: name, name: experiment });
      return experimentDetail(experiments, stored, await routes.read(name), Date.now());
    },
  );

  app.get(
    `${path}/history`,
    {
      schema: {
        operationId: 'experimentHistory',
        summary: 'Snapshots of the policy, newest first',
        tags,
        params: ExperimentParams,
        querystring: HistoryQuery,
        response: { 200: HistorySchema },
      },
    },
    async ({ params: { name, experiment }, query: { limit = 100 } }) => {
      const stored = await experiments.get({ endpoint: name, name: experiment });
      return { snapshots: await experiments.snapshots(stored, limit) };
    },
  );

  app.post(
    `${path}/evaluate`,
    {
      schema: {
        operationId: 'evaluatePolicy',
        summary: 'What other shares would have earned, from logged decisions (IPS and SNIPS)',
        tags,
        params: ExperimentParams,
        body: EvaluateBody,
        response: { 200: OffPolicySchema },
      },
    },
    async ({ params: { name, experiment }, body: { shares } }) =>
      evaluateShares(experiments, await experiments.get({ endpoint: name, name: experiment }), shares),
  );
}

function rewardRoute(app: ApiInstance, { rewards }: ApiPorts): void {
  app.post(
    '/v1/rewards',
    {
      schema: {
        operationId: 'recordRewards',
        summary:
          'What decisions of experiments led to; may arrive again, and before the prediction is stored',
        tags: ['rewards'],
        body: RewardsBody,
        response: { 200: RewardsSchema },
      },
    },
    async (request) => {
      requireRole(request, 'service', 'engineer', 'operator', 'admin');
      const now = Date.now();
      const rows = request.body.rewards.map(({ predictionId, reward, observedAt }) => ({
        predictionId,
        reward,
        observedAtMs: observedAt === undefined ? now : Date.parse(observedAt),
      }));
      return rewards.addRewards(rows);
    },
  );
}
