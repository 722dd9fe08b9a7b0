/** What every command is given: where to write, and how to reach the running stack. */
import type { ApiClient } from '../api/client.ts';
import { createApiClient } from '../api/client.ts';
import { findRunningStack } from '../deploy/local/stack-file.ts';
import { SlipwayError } from '../domain/errors.ts';
import { stackPaths } from '../platform/config.ts';
import type { Output } from './output.ts';
import { readTokens } from './tokens.ts';

export interface CliContext {
  readonly output: Output;
  /** Leaves with this code once everything is done. */
  readonly exit: (code: number) => void;
  /** @throws SlipwayError STACK_NOT_RUNNING */
  readonly connect: (actor: string) => Promise<ApiClient>;
}

export async function connectToStack(actor: string): Promise<ApiClient> {
  const { home } = stackPaths();
  const stack = findRunningStack(home);
  if (stack === undefined) {
    throw new SlipwayError('STACK_NOT_RUNNING', `no stack is running in ${home}`);
  }
  const tokenOf = await readTokens(stack.tokenFile);
  return createApiClient({ url: stack.api, token: tokenOf(actor) });
}
