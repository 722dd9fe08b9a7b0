import { strict as assert } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describe, it } from 'mocha';

import { createProgram } from '../../cli/program.ts';
import type { CliContext } from '../../cli/context.ts';
import { METRIC_NAME, documentedMetrics } from './documented-metrics.ts';
import { projectRoot } from '../../platform/root.ts';

const FOLDER = join(projectRoot(), 'runbooks');
const runbooks = readdirSync(FOLDER).filter((name) => name.endsWith('.md'));
const HEADINGS = ['Meaning', 'Impact', 'Diagnosis', 'Mitigation'];

/** Lines of fenced shell blocks that call `slipway`. */
function commandsIn(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```/gms)]
    .flatMap(([, block = '']) => block.split('\n'))
    .filter((line) => line.startsWith('slipway '));
}

/** As a POSIX shell splits a line without expansions. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => {
    return single ?? double ?? bare ?? '';
  });
}

/** Everything of the real program but what its commands do. */
function inert(command: Command): Command {
  for (const child of command.commands) inert(child);
  if (command.commands.length === 0) command.action(() => {});
  return command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
}

describe('runbooks', () => {
  for (const name of runbooks) {
    const text = readFileSync(join(FOLDER, name), 'utf8');

    it(`${name} says what it means, what it does, how to look and what to do`, () => {
      const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
      assert.deepEqual(
        headings.filter((heading) => HEADINGS.includes(heading ?? '')),
        HEADINGS,
      );
    });

    it(`${name} has only commands that the command line takes`, async () => {
      const lines = commandsIn(text);
      assert.ok(lines.length > 0);
      for (const line of lines) {
        const program = inert(createProgram({} as CliContext, '0.0.0'));
        await assert.doesNotReject(program.parseAsync(words(line).slice(1), { from: 'user' }), line);
      }
    });

    it(`${name} names only metrics and error codes that exist`, () => {
      const known = documentedMetrics();
      const named = [...text.matchAll(METRIC_NAME)].map(([metric]) => metric);
      assert.deepEqual(
        named.filter((metric) => !known.some(({ name }) => name.startsWith(metric))),
        [],
      );
    });
  }
});
