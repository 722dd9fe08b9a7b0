import { stopShared } from './stack.ts';

/** Named by mocha: runs once, after the last test, also when tests failed. */
export async function mochaGlobalTeardown(): Promise<void> {
  await stopShared();
}
