/** Models, their routes and rollbacks on the wire. */
import { Type } from 'typebox';

import type { LiveGateway } from '../../domain/rollout/arm-window.ts';
import type { ModelManifest } from '../../domain/manifest/model-manifest.ts';
import type { Digest, Route } from '../../domain/routing/route.ts';
import type { RollbackResult } from '../../workflows/messages.ts';
import type { Release } from '../../domain/release/release.ts';
import type { AppliedModel } from '../ports.ts';
import { DigestPrefix, DigestSchema, ModelName, Reason, UnixMs, nullable, oneOf, strict } from './common.ts';
import { ManifestSchema } from './manifest.ts';
import { ReleaseSchema } from './release.ts';

const digest = Type.Unsafe<string>(DigestSchema);

export const ApplyBody = strict({
  manifest: ManifestSchema,
  /** Where the documents came from, for messages only. */
  sources: Type.Optional(
    strict({
      manifest: Type.Optional(
        Type.String({ maxLength: 4096, description: 'file that the manifest was read from' }),
      ),
      query: Type.Optional(
        Type.String({ maxLength: 4096, description: 'file that the query was read from' }),
      ),
    }),
  ),
});

const identity = { name: ModelName, manifestDigest: Type.String() };

export const AppliedSchema = Type.Unsafe<AppliedModel>(
  strict({
    ...identity,
    changed: Type.Boolean({ description: 'false: this manifest was the present one already' }),
  }),
);

const RouteSchema = Type.Unsafe<Route>(
  strict({
    endpoint: Type.String(),
    generation: Type.Integer(),
    epoch: Type.Integer(),
    champion: DigestSchema,
    candidate: nullable(
      strict({
        version: DigestSchema,
        weightBp: Type.Integer(),
        mirrorBp: Type.Integer(),
        salt: Type.String(),
        leaseMs: Type.Integer(),
      }),
    ),
    standby: nullable(strict({ version: DigestSchema, untilMs: UnixMs })),
    experiment: nullable(
      strict({
        name: Type.String(),
        arms: Type.Array(strict({ name: Type.String(), version: DigestSchema })),
        sticky: Type.Boolean(),
        salt: Type.String(),
        leaseMs: Type.Integer(),
      }),
    ),
  }),
);

const GatewaySchema = Type.Unsafe<LiveGateway>(
  strict({
    gatewayId: Type.String(),
    url: Type.String(),
    acknowledgement: nullable(
      strict({
        gatewayId: Type.String(),
        endpoint: Type.String(),
        generation: Type.Integer(),
        versions: Type.Record(
          Type.String(),
          Type.Object({
            state: oneOf(['ready', 'loading', 'refused']),
            code: Type.Optional(Type.String()),
            message: Type.Optional(Type.String()),
          }),
        ),
      }),
    ),
  }),
);

export interface ModelSummary {
  readonly name: string;
  readonly manifestDigest: Digest;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly champion: Digest | null;
  /** The release that is on its way, if any. */
  readonly running: Release | null;
}

export interface ModelStatus extends ModelSummary {
  readonly manifest: ModelManifest;
  readonly route: Route | null;
  readonly gateways: readonly LiveGateway[];
}

const summary = {
  ...identity,
  createdAtMs: UnixMs,
  updatedAtMs: UnixMs,
  champion: nullable(digest),
  running: nullable(ReleaseSchema),
};

export const ModelListSchema = Type.Unsafe<{ readonly models: readonly ModelSummary[] }>(
  strict({ models: Type.Array(strict(summary)) }),
);

export const ModelStatusSchema = Type.Unsafe<ModelStatus>(
  strict({
    ...summary,
    manifest: Type.Object(
      {},
      { additionalProperties: true, description: 'as applied, with defaults filled in' },
    ),
    route: nullable(RouteSchema),
    gateways: Type.Array(GatewaySchema),
  }),
);

export const ModelParams = strict({ name: ModelName });

export const RollbackBody = strict({ to: Type.Optional(DigestPrefix), reason: Reason });

export const RollbackSchema = Type.Unsafe<RollbackResult>(
  strict({
    from: DigestSchema,
    to: DigestSchema,
    generation: Type.Integer(),
    milliseconds: Type.Number(),
    wasStandby: Type.Boolean(),
  }),
);
