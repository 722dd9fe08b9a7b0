import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';

import { actorOf, requireRole } from '../auth.ts';
import type { ApiPorts, ReleaseCommand } from '../ports.ts';
import { startRelease } from '../release-starter.ts';
import {
  AcceptedReleaseSchema,
  ApprovalAnswerSchema,
  CommandBody,
  DecisionBody,
  IdempotencyHeaders,
  ListReleasesQuery,
  NewReleaseBody,
  ReleaseDetailSchema,
  ReleaseListSchema,
  ReleaseParams,
} from '../schemas/release.ts';
import type { ApiInstance } from './api-instance.ts';

const tags = ['releases'];

const COMMANDS: readonly {
  readonly path: string;
  readonly command: ReleaseCommand;
  readonly summary: string;
}[] = [
  { path: 'pause', command: 'pause', summary: 'Holds the rollout at its present step' },
  {
    path: 'resume',
    command: 'resume',
    summary: 'Goes on after a pause, or with a step that was inconclusive',
  },
  { path: 'skip-step', command: 'skipStep', summary: 'Takes the present step as passed' },
  { path: 'abort', command: 'abort', summary: 'Ends the release; the champion serves' },
  {
    path: 'promote-now',
    command: 'promoteNow',
    summary: 'Break-glass: promotes without the remaining steps; operators only',
  },
];

export function releaseRoutes(app: ApiInstance, ports: ApiPorts): void {
  createRoute(app, ports);
  readRoutes(app, ports);
  decisionRoutes(app, ports);
  for (const { path, command, summary } of COMMANDS) {
    app.post(
      `/v1/releases/:model/:number/${path}`,
      {
        schema: {
          operationId: `${command}Release`,
          summary,
          tags,
          params: ReleaseParams,
          headers: IdempotencyHeaders,
          body: CommandBody,
          response: { 204: Type.Null({ description: 'done' }) },
        },
      },
      async (request, reply) => {
        const actor = command === 'promoteNow' ? requireRole(request, 'operator', 'admin') : actorOf(request);
        const { id } = await ports.releases.get(releaseId(request.params));
        const { reason } = request.body;
        await ports.workflows.command(
          id,
          command,
          { actor: actor.actor, reason },
          updateId(request, command),
        );
        return reply.code(204).send(null);
      },
    );
  }
}

function createRoute(app: ApiInstance, ports: ApiPorts): void {
  app.post(
    '/v1/releases',
    {
      schema: {
        operationId: 'createRelease',
        summary: 'Starts a release of a model as it is declared now',
        tags,
        headers: IdempotencyHeaders,
        body: NewReleaseBody,
        response: { 202: AcceptedReleaseSchema },
      },
    },
    async (request, reply) => {
      const { model, parameters = {}, skipShadow = false } = request.body;
      const key = request.headers['idempotency-key'];
      const release = await ports.releases.create({
        model,
        parameters,
        skipShadow,
        submittedBy: actorOf(request).actor,
        ...(key === undefined ? {} : { requestKey: key }),
      });
      const started = await startRelease(ports.workflows, release, request.log);
      return reply.code(202).header('location', `/v1/releases/${release.id}`).send({ release, started });
    },
  );
}

function readRoutes(app: ApiInstance, { releases, workflows }: ApiPorts): void {
  app.get(
    '/v1/releases',
    {
      schema: {
        operationId: 'listReleases',
        summary: 'Releases, newest first',
        tags,
        querystring: ListReleasesQuery,
        response: { 200: ReleaseListSchema },
      },
    },
    async ({ query: { model, limit = 50 } }) => ({
      releases: await releases.list({ limit, ...(model === undefined ? {} : { model }) }),
    }),
  );

  app.get(
    '/v1/releases/:model/:number',
    {
      schema: {
        operationId: 'getRelease',
        summary: 'A release with its timeline and, while it runs, what its workflow says',
        tags,
        params: ReleaseParams,
        response: { 200: ReleaseDetailSchema },
      },
    },
    async ({ params }) => {
      const id = releaseId(params);
      const release = await releases.get(id);
      const [timeline, live] = await Promise.all([
        releases.timeline(id),
        release.outcome === null ? workflows.view(id) : null,
      ]);
      return { release, timeline, live };
    },
  );
}

function decisionRoutes(app: ApiInstance, { releases, workflows }: ApiPorts): void {
  for (const decision of ['approve', 'reject'] as const) {
    app.post(
      `/v1/releases/:model/:number/${decision}`,
      {
        schema: {
          operationId: `${decision}Release`,
          summary: `${decision === 'approve' ? 'Approves' : 'Rejects'} the version under review, named by its digest`,
          tags,
          params: ReleaseParams,
          headers: IdempotencyHeaders,
          body: DecisionBody,
          response: { 200: ApprovalAnswerSchema },
        },
      },
      async (request) => {
        const { id } = await releases.get(releaseId(request.params));
        const { digest, comment = '' } = request.body;
        const actor = actorOf(request).actor;
        const answer = await workflows.decide(
          id,
          decision,
          { actor, digest, comment },
          updateId(request, decision),
        );
        return { ...answer };
      },
    );
  }
}

function releaseId({ model, number }: { readonly model: string; readonly number: number }): string {
  return `${model}/${number}`;
}

/** Temporal remembers an update by its id alone, so who asks for what is a part of it: one key, one actor, one effect. */
function updateId(request: FastifyRequest, kind: string): string {
  const key = request.headers['idempotency-key'];
  return `${actorOf(request).actor}/${kind}/${typeof key === 'string' ? key : randomUUID()}`;
}
