/** SHA-256 for the pure core, which takes the hash function as an argument. */
import { createHash } from 'node:crypto';
import type { Sha256 } from '../domain/registry/index.ts';

export const sha256: Sha256 = (bytes) => createHash('sha256').update(bytes).digest();
