/** What every section of a manifest is checked with: how a problem is said, durations, and names that occur once. */
import { parseDuration } from './duration.ts';

const YEAR_SECONDS = 366 * 86_400;

export type Report = (path: string, reason: string) => void;

export function checkDuration(
  path: string,
  text: string,
  report: Report,
  { min, max = YEAR_SECONDS }: { readonly min: number; readonly max?: number },
): number | undefined {
  const seconds = parseDuration(text);
  if (seconds === undefined) report(path, 'must be a duration such as 30s, 15m or 24h');
  else if (seconds < min) report(path, `must be at least ${min < 1 ? `${min * 1000}ms` : `${min}s`}`);
  else if (seconds > max) report(path, `must be at most ${max}s`);
  return seconds;
}

export function unique(items: readonly { readonly name: string }[], path: string, report: Report): void {
  const first = new Map<string, number>();
  items.forEach(({ name }, index) => {
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    else report(`${path}/${index}/name`, `${name} is there already, at ${path}/${earlier}`);
  });
}
