/** Says of a stored version what a gateway would say of it, without loading it. */
import type { Revocations, VersionDescriptor } from '../domain/registry/model-version.ts';
import { SlipwayError } from '../domain/errors.ts';
import type { Digest } from '../domain/routing/route.ts';
import type { TrustedKeys } from '../platform/keys.ts';
import { verifyForServing } from '../platform/verify-for-serving.ts';
import type { VersionVerifier } from './ports.ts';

export interface VerifierDependencies {
  readonly describe: (digest: Digest) => Promise<VersionDescriptor>;
  readonly readBlob: (digest: Digest) => Promise<Uint8Array>;
  /** Read each time: a key that was taken out of the trust folder must not count a minute longer. */
  readonly trustedKeys: () => Promise<TrustedKeys>;
  readonly revocations: () => Promise<Revocations>;
  readonly now: () => number;
}

export function createVersionVerifier(dependencies: VerifierDependencies): VersionVerifier {
  return {
    async problems(digest) {
      const [descriptor, trustedKeys, revoked] = await Promise.all([
        dependencies.describe(digest),
        dependencies.trustedKeys(),
        dependencies.revocations(),
      ]);
      try {
        await verifyForServing(descriptor, {
          read: dependencies.readBlob,
          trustedKeys,
          revoked,
          now: dependencies.now(),
        });
        return [];
      } catch (error) {
        if (!(error instanceof SlipwayError) || error.status >= 500) throw error;
        const { code, message, problems } = error;
        if (problems.length === 0) return [{ code, path: '', reason: message }];
        return problems.map(({ path, reason, file, ...rest }) => ({
          code: 'code' in rest && typeof rest.code === 'string' ? rest.code : code,
          ...(file === undefined ? {} : { file }),
          path,
          reason,
        }));
      }
    },
  };
}
