/**
 * The `slipway` command. Everything that it does goes through the HTTP API of the running stack, but `up`, `demo`,
 * `gateway` and `doctor`, which are about the stack itself, and `predictions`, which reads files of its home. It promises: results on stdout, everything else on stderr; `--json` on
 * every command that answers something; documented exit codes; errors that say what to do; a sign of life on every
 * wait longer than two seconds.
 */
export { createProgram } from './program.ts';
