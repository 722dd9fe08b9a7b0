/** The `slipway` command: parses, runs, and turns errors into two lines and an exit code. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';

import { projectRoot } from '../platform/root.ts';
import { connectToStack } from './context.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { createOutput } from './output.ts';
import { createProgram } from './program.ts';
import { errorLines } from './report-error.ts';

const output = createOutput();
const { version } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
  version: string;
};
const program = createProgram(
  {
    output,
    connect: connectToStack,
    // Not process.exit: what was written to a pipe must arrive.
    exit: (code) => void (process.exitCode = code),
  },
  version,
);

// A reader that has seen enough (`slipway versions elec2 | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong. Help and the version that were asked for end with 0.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    for (const line of errorLines(error)) output.remark(line);
    process.exitCode = exitCodeOf(error);
  }
}
