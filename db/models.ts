/** Models and the manifests that were applied to them. */
import { eq, sql } from 'drizzle-orm';
import { SlipwayError } from '../domain/errors.ts';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import { completeManifest } from '../domain/manifest/serving-spec.ts';
import type { StoredManifest } from '../domain/manifest/serving-spec.ts';
import type { Digest } from '../domain/routing/route.ts';
import { appendAudit } from './audit.ts';
import type { Database, Executor } from './database.ts';
import { manifestDigest } from './digests.ts';
import { modelManifests, models } from './schema/registry.ts';
import { asStored } from './stored-value.ts';

export interface AppliedManifest {
  readonly name: string;
  readonly manifestDigest: Digest;
  /** False when the model already had exactly this manifest. */
  readonly changed: boolean;
}

export interface Model {
  readonly name: string;
  readonly manifest: ModelManifest;
  readonly manifestDigest: Digest;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface ModelStore {
  /** Declares the model, or changes what is declared. A manifest that was checked is expected. */
  apply(manifest: ModelManifest, actor: string): Promise<AppliedManifest>;
  /** @throws MODEL_NOT_FOUND */
  get(name: string): Promise<Model>;
  list(): Promise<readonly Model[]>;
}

const MODEL = {
  name: models.name,
  manifest: modelManifests.manifest,
  manifestDigest: models.manifestDigest,
  createdAt: models.createdAt,
  updatedAt: models.updatedAt,
};

export function createModelStore(db: Database): ModelStore {
  return {
    apply: (manifest, actor) =>
      db.transaction(async (tx) => {
        const { name } = manifest;
        const digest = manifestDigest(manifest);
        await tx
          .insert(modelManifests)
          .values({ digest, model: name, manifest: asStored(manifest), appliedBy: actor })
          .onConflictDoNothing();
        const [created] = await tx
          .insert(models)
          .values({ name, manifestDigest: digest })
          .onConflictDoNothing()
          .returning({ name: models.name });
        let before: Digest | null = null;
        if (created === undefined) {
          const [present] = await tx.select().from(models).where(eq(models.name, name)).for('update');
          before = present?.manifestDigest ?? null;
          if (before === digest) return { name, manifestDigest: digest, changed: false };
          await tx
            .update(models)
            .set({ manifestDigest: digest, updatedAt: sql`clock_timestamp()` })
            .where(eq(models.name, name));
        }
        const detail = { before, after: digest };
        await appendAudit(tx, { stream: name, actor, action: 'model.apply', subject: name, detail });
        return { name, manifestDigest: digest, changed: true };
      }),

    async get(name) {
      const [row] = await db.read((orm) => selectModels(orm).where(eq(models.name, name)));
      if (row === undefined) throw modelNotFound(name);
      return toModel(row);
    },

    async list() {
      const rows = await db.read((orm) => selectModels(orm).orderBy(models.name));
      return rows.map(toModel);
    },
  };
}

export function modelNotFound(name: string): SlipwayError {
  return new SlipwayError('MODEL_NOT_FOUND', `there is no model ${name}; apply its manifest first`);
}

const selectModels = (orm: Executor) =>
  orm.select(MODEL).from(models).innerJoin(modelManifests, eq(modelManifests.digest, models.manifestDigest));

function toModel({
  manifest,
  createdAt,
  updatedAt,
  ...rest
}: Omit<Model, 'manifest' | 'createdAtMs' | 'updatedAtMs'> & {
  manifest: StoredManifest;
  createdAt: Date;
  updatedAt: Date;
}): Model {
  return {
    ...rest,
    manifest: completeManifest(manifest),
    createdAtMs: createdAt.getTime(),
    updatedAtMs: updatedAt.getTime(),
  };
}
