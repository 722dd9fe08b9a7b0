import { SlipwayError } from '../../domain/errors.ts';
import { actorOf } from '../auth.ts';
import { checkApply } from '../check-apply.ts';
import type { ApiPorts } from '../ports.ts';
import {
  AppliedSchema,
  ApplyBody,
  ModelListSchema,
  ModelParams,
  ModelStatusSchema,
  RollbackBody,
  RollbackSchema,
} from '../schemas/model.ts';
import { VersionListSchema } from '../schemas/version.ts';
import { problemsOf } from '../validation.ts';
import type { ApiInstance } from './api-instance.ts';

const tags = ['models'];
/** Of one model at most one release is on its way, and it is among the newest. */
const RECENT = 1000;

export function modelRoutes(app: ApiInstance, ports: ApiPorts): void {
  applyRoute(app, ports);
  readRoutes(app, ports);
  versionsRoute(app, ports);
  rollbackRoute(app, ports);
}

function readRoutes(app: ApiInstance, { models, releases, routes }: ApiPorts): void {
  app.get(
    '/v1/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'Models that have been applied',
        tags,
        response: { 200: ModelListSchema },
      },
    },
    async () => {
      const running = (await releases.list({ limit: RECENT })).filter(({ outcome }) => outcome === null);
      const summaries = (await models.list()).map(
        async ({ name, manifestDigest, createdAtMs, updatedAtMs }) => ({
          name,
          manifestDigest,
          createdAtMs,
          updatedAtMs,
          champion: (await routes.read(name))?.champion ?? null,
          running: running.find((release) => release.model === name) ?? null,
        }),
      );
      return { models: await Promise.all(summaries) };
    },
  );

  app.get(
    '/v1/models/:name',
    {
      schema: {
        operationId: 'getModel',
        summary: 'A model: its manifest, its route, the gateways that serve it, the release on its way',
        tags,
        params: ModelParams,
        response: { 200: ModelStatusSchema },
      },
    },
    async ({ params: { name } }) => {
      const model = await models.get(name);
      const [route, gateways, recent] = await Promise.all([
        routes.read(name),
        routes.liveGateways(name),
        releases.list({ model: name, limit: RECENT }),
      ]);
      const running = recent.find(({ outcome }) => outcome === null) ?? null;
      return { ...model, champion: route?.champion ?? null, route, gateways, running };
    },
  );
}

function versionsRoute(app: ApiInstance, { models, versions }: ApiPorts): void {
  app.get(
    '/v1/models/:name/versions',
    {
      schema: {
        operationId: 'listVersions',
        summary: 'Versions of a model, newest first',
        tags,
        params: ModelParams,
        response: { 200: VersionListSchema },
      },
    },
    async ({ params: { name } }) => {
      await models.get(name);
      const all = await versions.list(name);
      return {
        versions: all.map(({ version: { digest, model, lineage, createdAt }, number, revoked }) => ({
          digest,
          model,
          number,
          releaseId: lineage.releaseId,
          createdAt,
          revoked,
        })),
      };
    },
  );
}

function rollbackRoute(app: ApiInstance, { models, versions, workflows }: ApiPorts): void {
  app.post(
    '/v1/models/:name/rollback',
    {
      schema: {
        operationId: 'rollback',
        summary: 'Lets a former champion serve again, and waits until every gateway does so',
        tags,
        params: ModelParams,
        body: RollbackBody,
        response: { 200: RollbackSchema },
      },
    },
    async (request) => {
      const { name } = request.params;
      const { to, reason } = request.body;
      await models.get(name);
      const target = to === undefined ? undefined : (await versions.find(to)).version;
      if (target !== undefined && target.model !== name) {
        throw new SlipwayError('VERSION_NOT_FOUND', `${target.digest} is not a version of ${name}`);
      }
      return workflows.rollback({
        endpoint: name,
        ...(target === undefined ? {} : { to: target.digest }),
        actor: actorOf(request).actor,
        reason,
      });
    },
  );
}

function applyRoute(app: ApiInstance, { models, trainers, dataFiles }: ApiPorts): void {
  app.put(
    '/v1/models/:name',
    {
      // A wrong manifest is refused as one, with file names, together with the rules that no schema can say.
      attachValidation: true,
      schema: {
        operationId: 'applyModel',
        summary: 'Declares a model, or changes it; a wrong manifest is refused whole',
        tags,
        params: ModelParams,
        body: ApplyBody,
        response: { 200: AppliedSchema },
      },
    },
    async (request) => {
      const found = request.validationError;
      const problems = problemsOf(found?.validation ?? []);
      const inManifest = '/manifest';
      const ofManifest = problems.filter(
        ({ path }) => path === inManifest || path.startsWith(`${inManifest}/`),
      );
      if (found !== undefined && (found.validationContext !== 'body' || ofManifest.length < problems.length))
        throw found;
      const manifest = await checkApply(
        {
          name: request.params.name,
          manifest: request.body.manifest,
          shape: ofManifest.map(({ path, reason }) => ({ path: path.slice(inManifest.length), reason })),
          file: request.body.sources?.manifest,
        },
        { trainers, dataFiles },
      );
      return models.apply(manifest, actorOf(request).actor);
    },
  );
}
