/** Whether the columns that a data query gave can be trained on. Every problem is found, not only the first. */
import type { DuckDBConnection } from '@duckdb/node-api';
import type { Problem } from '../domain/errors.ts';
import { SlipwayError } from '../domain/errors.ts';
import { identifier } from './duckdb.ts';

const TIMES = ['TIMESTAMP', 'TIMESTAMP_S', 'TIMESTAMP_MS', 'TIMESTAMP_NS', 'DATE'];
const NUMBERS = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)|BOOLEAN)$/;

/** @throws SlipwayError DATA_INVALID */
export async function checkColumns(
  connection: DuckDBConnection,
  { features, target }: { readonly features: readonly string[]; readonly target: string },
): Promise<void> {
  const described = await connection.runAndReadAll('DESCRIBE result');
  const types = new Map(described.getRows().map(([name, type]) => [String(name), String(type)]));
  const problems: Problem[] = [];
  const wrong = (column: string, reason: string): void => {
    problems.push({ path: `/${column.replaceAll('~', '~0').replaceAll('/', '~1')}`, reason });
  };
  for (const name of ['row_number', 'event_time', ...features, target]) {
    const type = types.get(name);
    if (type === undefined) wrong(name, `column ${name} is missing from the result of the data query`);
    else if (name === 'event_time') {
      if (!TIMES.includes(type)) wrong(name, `column ${name} must be a TIMESTAMP (in UTC), not ${type}`);
    } else if (!NUMBERS.test(type)) wrong(name, `column ${name} must be numeric, not ${type}`);
  }
  if (problems.length > 0) throw invalid(problems);

  const counts = await count(connection, features, target);
  if (counts['rows'] === 0) throw new SlipwayError('DATA_INVALID', 'the data query gives no row');
  const bad = (key: string): number => counts[key] ?? 0;
  if (bad('row_number') > 0) wrong('row_number', 'column row_number has missing or repeated values');
  if (bad('event_time') > 0)
    wrong('event_time', `column event_time has ${bad('event_time')} missing value(s)`);
  for (const [index, name] of features.entries()) {
    const rows = bad(`feature_${index}`);
    if (rows > 0)
      wrong(name, `column ${name} has ${rows} value(s) that are missing, NaN or beyond 32-bit floats`);
  }
  if (bad('target') > 0) wrong(target, `column ${target} has ${bad('target')} value(s) other than 0 and 1`);
  if (problems.length > 0) throw invalid(problems);
}

async function count(
  connection: DuckDBConnection,
  features: readonly string[],
  target: string,
): Promise<Record<string, number>> {
  const failing = (condition: string, alias: string): string =>
    `count(*) FILTER (NOT coalesce(${condition}, false))::DOUBLE AS ${alias}`;
  const columns = [
    'count(*)::DOUBLE AS rows',
    '(count(*) - count(DISTINCT row_number))::DOUBLE AS row_number',
    failing('event_time IS NOT NULL', 'event_time'),
    ...features.map((name, index) =>
      failing(`isfinite(TRY_CAST(${identifier(name)} AS FLOAT))`, `feature_${index}`),
    ),
    failing(`${identifier(target)}::DOUBLE IN (0, 1)`, 'target'),
  ];
  const reader = await connection.runAndReadAll(`SELECT ${columns.join(', ')} FROM result`);
  return reader.getRowObjects()[0] as Record<string, number>;
}

function invalid(problems: readonly Problem[]): SlipwayError {
  const reasons = problems.map(({ reason }) => reason).join('; ');
  return new SlipwayError('DATA_INVALID', `the training data cannot be used: ${reasons}`, { problems });
}
