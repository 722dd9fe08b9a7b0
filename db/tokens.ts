/** API tokens. Only their SHA-256 is stored, so a copy of the database opens nothing. */
import { eq } from 'drizzle-orm';
import { SlipwayError } from '../domain/errors.ts';
import { appendAudit, SYSTEM_STREAM } from './audit.ts';
import type { Database } from './database.ts';
import { tokenDigest } from './digests.ts';
import { apiTokens } from './schema/governance.ts';
import { storedChoice } from './stored-value.ts';

export const ROLES = ['viewer', 'engineer', 'approver', 'operator', 'admin', 'service'] as const;
export type Role = (typeof ROLES)[number];

export interface TokenHolder {
  readonly actor: string;
  readonly role: Role;
}

export interface TokenStore {
  /** The same token for the same holder again is a no-op. @throws INVALID_REQUEST when another holds it or it is short */
  add(token: string, holder: TokenHolder): Promise<void>;
  find(token: string): Promise<TokenHolder | null>;
}

/** 32 characters of base64 are 192 bits: a plain hash is then as good as a slow one. */
const SHORTEST_TOKEN = 32;

export function createTokenStore(db: Database): TokenStore {
  return {
    add: (token, { actor, role }) =>
      db.transaction(async (tx) => {
        if (token.length < SHORTEST_TOKEN) {
          throw new SlipwayError(
            'INVALID_REQUEST',
            `a token has at least ${SHORTEST_TOKEN} random characters`,
          );
        }
        const digest = tokenDigest(token);
        const [inserted] = await tx
          .insert(apiTokens)
          .values({ tokenDigest: digest, actor, role })
          .onConflictDoNothing()
          .returning({ actor: apiTokens.actor });
        if (inserted !== undefined) {
          const detail = { role, tokenDigest: digest };
          await appendAudit(tx, {
            stream: SYSTEM_STREAM,
            actor,
            action: 'token.add',
            subject: actor,
            detail,
          });
          return;
        }
        const [held] = await tx.select().from(apiTokens).where(eq(apiTokens.tokenDigest, digest));
        if (held?.actor !== actor || held.role !== role) {
          throw new SlipwayError(
            'INVALID_REQUEST',
            'this token belongs to another actor or role; make a new one',
          );
        }
      }),

    async find(token) {
      const [row] = await db.read((orm) =>
        orm
          .select({ actor: apiTokens.actor, role: apiTokens.role })
          .from(apiTokens)
          .where(eq(apiTokens.tokenDigest, tokenDigest(token))),
      );
      return row === undefined
        ? null
        : { actor: row.actor, role: storedChoice(ROLES, row.role, 'api_tokens.role') };
    },
  };
}
