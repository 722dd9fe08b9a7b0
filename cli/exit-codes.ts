/** What the exit code of `slipway` means; `docs/reference/cli.md` and `--help` say the same. */
import { SlipwayError } from '../domain/errors.ts';

export const EXIT = {
  ok: 0,
  /** It failed, or was refused. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  notFound: 3,
  stackNotRunning: 4,
  /** `release --wait`: the release ended, but not promoted. */
  notPromoted: 5,
} as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  failed or refused
  2  wrong command line
  3  there is nothing under this name
  4  no stack is running
  5  with --wait: the release ended other than promoted`;

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SlipwayError)) return EXIT.failed;
  if (error.code === 'STACK_NOT_RUNNING') return EXIT.stackNotRunning;
  return error.status === 404 ? EXIT.notFound : EXIT.failed;
}
