/** `slipway predictions list` and `slipway predictions export`: they read files of the home, and need no running stack. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

import type { ListedSegment } from '../../data/index.ts';
import { stackPaths } from '../../platform/config.ts';
import { homeLayout } from '../../platform/home.ts';
import type { CliContext } from '../context.ts';
import { jsonOption, modelName } from '../options.ts';
import type { Output } from '../output.ts';
import { instant } from '../output.ts';
import { withProgress } from '../progress.ts';

interface ExportFlags {
  readonly endpoint: string;
  readonly out: string;
  readonly since?: number;
  readonly until?: number;
  readonly force?: true;
  readonly json?: true;
}

export function predictionCommands(program: Command, { output }: CliContext): void {
  const predictions = program
    .command('predictions')
    .description('the prediction log: what gateways of this home answered');
  predictions
    .command('list')
    .description('show the segments of the log, with time range, rows and size')
    .option('--endpoint <name>', 'only those of one endpoint', modelName)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway predictions list\n  slipway predictions list --endpoint elec2 --json',
    )
    .action(async ({ endpoint, json }: { endpoint?: string; json?: true }) => {
      // DuckDB takes longer to load than most commands take to run.
      const { listPredictions } = await import('../../data/index.ts');
      const work = listPredictions(homeLayout(stackPaths().home).predictions);
      const all = await withProgress(output, () => 'reading the prediction log', work);
      const segments = all.filter((segment) => endpoint === undefined || segment.endpoint === endpoint);
      if (json) output.json({ segments });
      else showSegments(output, segments);
    });
  predictions
    .command('export')
    .description('write the log of an endpoint as a Parquet file')
    .requiredOption('--endpoint <name>', 'name of the endpoint', modelName)
    .requiredOption('--out <file>', 'the Parquet file')
    .option('--since <instant>', 'only rows at or after this instant', instantArgument)
    .option('--until <instant>', 'only rows before this instant', instantArgument)
    .option('--force', 'replace the file when it is there')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway predictions export --endpoint elec2 --out elec2.parquet' +
        '\n  slipway predictions export --endpoint elec2 --since 2026-01-01T00:00:00Z --out january.parquet --force',
    )
    .action(async (flags: ExportFlags) => {
      const { endpoint, out, since = null, until = null, force = false, json } = flags;
      const { exportPredictions } = await import('../../data/index.ts');
      const { predictions: folder } = homeLayout(stackPaths().home);
      const work = exportPredictions({
        folder,
        endpoint,
        sinceMs: since,
        untilMs: until,
        output: out,
        overwrite: force,
      });
      const summary = await withProgress(output, () => `exporting the prediction log of ${endpoint}`, work);
      const { rows, bytes, dropped, segments, torn } = summary;
      for (const { file, ignoredBytes } of torn)
        output.remark(`${file}: ${ignoredBytes} bytes at its end are no whole block and were left out`);
      if (json) return output.json({ endpoint, out, rows, bytes, dropped, segments });
      output.line(`${out}: ${rows} rows, ${bytes} bytes, from ${segments} segments`);
      output.line(
        dropped === 0
          ? 'no row was dropped by a gateway'
          : `${dropped} rows of this time are missing: a gateway had to drop them`,
      );
    });
}

function showSegments(output: Output, segments: readonly ListedSegment[]): void {
  if (segments.length === 0) return output.line('There is no prediction log in this home yet.');
  const time = (ms: number | null): string => (ms === null ? '' : instant(ms));
  output.table(
    ['endpoint', 'from', 'to', 'rows', 'dropped', 'bytes', 'file'],
    segments.map(({ endpoint, firstAtMs, lastAtMs, rows, dropped, bytes, file, ignoredBytes }) => [
      endpoint,
      time(firstAtMs),
      time(lastAtMs),
      String(rows),
      String(dropped),
      String(bytes),
      ignoredBytes === 0 ? file : `${file} (${ignoredBytes} bytes at the end ignored)`,
    ]),
  );
}

function instantArgument(text: string): number {
  // A time of day without a zone would mean another instant on another machine.
  const ms = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new InvalidArgumentError('An instant looks like 1997-05-01T00:00:00Z.');
  }
  return ms;
}
