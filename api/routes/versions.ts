import { SlipwayError } from '../../domain/errors.ts';
import { requireRole } from '../auth.ts';
import type { ApiPorts } from '../ports.ts';
import {
  LineageChainSchema,
  RevokeBody,
  RevokedSchema,
  VerificationSchema,
  VersionParams,
  VersionSchema,
} from '../schemas/version.ts';
import { servingPeriods } from '../serving-periods.ts';
import type { LineageChain } from '../schemas/version.ts';
import type { ApiInstance } from './api-instance.ts';

const tags = ['versions'];

export function versionRoutes(app: ApiInstance, ports: ApiPorts): void {
  readRoutes(app, ports);
  checkRoutes(app, ports);
}

function readRoutes(app: ApiInstance, { versions, releases, routes }: ApiPorts): void {
  app.get(
    '/v1/versions/:digest',
    {
      schema: {
        operationId: 'getVersion',
        summary: 'A model version: files, tensors, lineage, revocation',
        tags,
        params: VersionParams,
        response: { 200: VersionSchema },
      },
    },
    async ({ params }) => {
      const { version, number, revoked } = await versions.find(params.digest);
      const { bundle, ...facts } = version;
      return { ...facts, number, revoked, keyId: bundle.verificationMaterial.publicKey.hint };
    },
  );

  app.get(
    '/v1/versions/:digest/lineage',
    {
      schema: {
        operationId: 'getLineage',
        summary: 'From the digest of the data to what serves',
        tags,
        params: VersionParams,
        response: { 200: LineageChainSchema },
      },
    },
    async ({ params }) => {
      const { version, number, revoked } = await versions.find(params.digest);
      const { digest, model, lineage } = version;
      const [release, approvals, history] = await Promise.all([
        releaseOf(releases, lineage.releaseId),
        versions.approvals(digest),
        routes.history(model),
      ]);
      const served = servingPeriods(history, digest);
      const decisions = approvals.map(
        ({ approver, decision, comment, policyDigest, evidenceDigest, decidedAt, expiresAt }) => ({
          approver,
          decision,
          comment,
          policyDigest,
          evidenceDigest,
          decidedAt,
          expiresAt,
        }),
      );
      return { digest, model, number, lineage, release, decisions, served, revoked };
    },
  );
}

function checkRoutes(app: ApiInstance, { versions, verifier }: ApiPorts): void {
  app.post(
    '/v1/versions/:digest/verify',
    {
      schema: {
        operationId: 'verifyVersion',
        summary:
          'Checks the stored bytes, the signature, the approvals and the revocations, as a gateway does',
        tags,
        params: VersionParams,
        response: { 200: VerificationSchema },
      },
    },
    async ({ params }) => {
      const { digest } = (await versions.find(params.digest)).version;
      const problems = await verifier.problems(digest);
      return { digest, servable: problems.length === 0, problems };
    },
  );

  app.post(
    '/v1/versions/:digest/revoke',
    {
      schema: {
        operationId: 'revokeVersion',
        summary: 'Forbids a version to be served, for good; operators only',
        tags,
        params: VersionParams,
        body: RevokeBody,
        response: { 200: RevokedSchema },
      },
    },
    async (request) => {
      const actor = requireRole(request, 'operator', 'admin');
      const { digest } = (await versions.find(request.params.digest)).version;
      const { reason } = request.body;
      await versions.revoke({ kind: 'version', subject: digest, reason, actor: actor.actor });
      return { digest, revoked: true as const };
    },
  );
}

async function releaseOf(releases: ApiPorts['releases'], id: string): Promise<LineageChain['release']> {
  try {
    const { submittedBy, createdAtMs } = await releases.get(id);
    return { id, submittedBy, createdAtMs };
  } catch (error) {
    // A version that was brought in from elsewhere names a release that is not ours.
    if (error instanceof SlipwayError && error.code === 'RELEASE_NOT_FOUND') return null;
    throw error;
  }
}
