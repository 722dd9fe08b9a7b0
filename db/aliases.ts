/** Names for versions of a model, moved by compare-and-set. `champion` belongs to the route and moves only with it. */
import { and, eq, sql } from 'drizzle-orm';
import { SlipwayError } from '../domain/errors.ts';
import type { Digest } from '../domain/routing/route.ts';
import { appendAudit } from './audit.ts';
import type { Database } from './database.ts';
import { aliases } from './schema/registry.ts';
import { versionRow } from './versions.ts';

const CHAMPION = 'champion';

export interface Alias {
  readonly model: string;
  readonly name: string;
  readonly digest: Digest;
  readonly generation: number;
}

export interface AliasStore {
  list(model: string): Promise<readonly Alias[]>;
  /**
   * Points the name at a version. `expectedGeneration` is 0 for a name that does not exist yet. Setting what is
   * already set is a no-op.
   * @throws GENERATION_CONFLICT, VERSION_NOT_FOUND, INVALID_REQUEST
   */
  set(
    request: Omit<Alias, 'generation'> & { readonly expectedGeneration: number; readonly actor: string },
  ): Promise<Alias>;
}

export function createAliasStore(db: Database): AliasStore {
  const columns = {
    model: aliases.model,
    name: aliases.name,
    digest: aliases.digest,
    generation: aliases.generation,
  };
  return {
    list: (model) =>
      db.read((orm) =>
        orm.select(columns).from(aliases).where(eq(aliases.model, model)).orderBy(aliases.name),
      ),

    set: ({ model, name, digest, expectedGeneration, actor }) =>
      db.transaction(async (tx) => {
        if (name === CHAMPION) {
          throw new SlipwayError(
            'INVALID_REQUEST',
            'the alias champion moves with the route; promote or roll back',
          );
        }
        const version = await versionRow(tx, digest);
        if (version.model !== model) {
          throw new SlipwayError(
            'INVALID_REQUEST',
            `${digest} is a version of ${version.model}, not ${model}`,
          );
        }
        const key = and(eq(aliases.model, model), eq(aliases.name, name));
        const [before] = await tx.select(columns).from(aliases).where(key).for('update');
        if (before !== undefined && before.digest === digest) return before;
        const [after] =
          expectedGeneration === 0
            ? await tx
                .insert(aliases)
                .values({ model, name, digest, generation: 1 })
                .onConflictDoNothing()
                .returning(columns)
            : await tx
                .update(aliases)
                .set({ digest, generation: expectedGeneration + 1, updatedAt: sql`clock_timestamp()` })
                .where(and(key, eq(aliases.generation, expectedGeneration)))
                .returning(columns);
        if (after === undefined) {
          throw new SlipwayError(
            'GENERATION_CONFLICT',
            `alias ${model}/${name} is not at generation ${expectedGeneration}; read it again`,
          );
        }
        const detail = { before: before?.digest ?? null, after: digest, generation: after.generation };
        await appendAudit(tx, {
          stream: model,
          actor,
          action: 'alias.set',
          subject: `${model}/${name}`,
          detail,
        });
        return after;
      }),
  };
}
