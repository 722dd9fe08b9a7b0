/**
 * Durations as people write them in a manifest: a whole number and one unit, `500ms`, `30s`, `15m`, `24h`, `7d`.
 *
 * One unit only: `1h30m` has an order and an overlap to argue about, `90m` does not.
 */

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** For JSON schemas; `parseDuration` accepts exactly this. */
export const DURATION_PATTERN = '^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$';
export const DURATION_DESCRIPTION = 'a duration such as 500ms, 30s, 15m, 24h or 7d';

const DURATION = new RegExp(DURATION_PATTERN);

/** Seconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  const unit = SECONDS[match?.[2] ?? ''];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}
