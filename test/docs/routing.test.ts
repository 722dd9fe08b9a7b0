import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describe, it } from 'mocha';
import { parse } from 'yaml';

import type { CliContext } from '../../cli/context.ts';
import { createProgram } from '../../cli/program.ts';
import { checkExperiments } from '../../domain/manifest/experiment-section.ts';
import type { ExperimentDocument } from '../../domain/manifest/experiment-section.ts';
import { projectRoot } from '../../platform/root.ts';
import { METRIC_NAME, documentedMetrics } from './documented-metrics.ts';

const text = readFileSync(join(projectRoot(), 'docs', 'routing.md'), 'utf8');
const blocks = (language: string): readonly string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, block = '']) => block);

function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  );
}

function inert(command: Command): Command {
  for (const child of command.commands) inert(child);
  if (command.commands.length === 0) command.action(() => {});
  return command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
}

describe('docs/routing.md', () => {
  it('has only commands that the command line takes', async () => {
    const lines = blocks('sh')
      .flatMap((block) => block.split('\n'))
      .filter((line) => line.startsWith('slipway '));
    assert.ok(lines.length > 8);
    for (const line of lines) {
      const program = inert(createProgram({} as CliContext, '0.0.0'));
      await assert.doesNotReject(program.parseAsync(words(line).slice(1), { from: 'user' }), line);
    }
  });

  it('declares only experiments that a manifest may have', () => {
    const sections = blocks('yaml').map((block) => parse(block) as { experiments?: ExperimentDocument[] });
    const declared = sections.flatMap(({ experiments = [] }) => experiments);
    assert.equal(declared.length, 3);
    const problems: string[] = [];
    checkExperiments(declared, ['nswdemand', 'period'], (path, reason) =>
      problems.push(`${path}: ${reason}`),
    );
    assert.deepEqual(problems, []);
  });

  it('names only metrics that exist', () => {
    const known = documentedMetrics();
    for (const [metric] of text.matchAll(METRIC_NAME)) {
      assert.ok(
        known.some(({ name }) => name.startsWith(metric)),
        metric,
      );
    }
  });
});
