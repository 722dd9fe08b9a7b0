/** What the command line writes: results to stdout, everything else (progress, errors) to stderr. */
import type { WriteStream } from 'node:tty';

export interface Output {
  readonly colors: boolean;
  line(text?: string): void;
  /** Progress and remarks: never part of a result. */
  remark(text: string): void;
  json(value: unknown): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  bold(text: string): string;
}

type Stream = Pick<WriteStream, 'write'> & Partial<Pick<WriteStream, 'isTTY' | 'hasColors'>>;

export function createOutput(stdout: Stream = process.stdout, stderr: Stream = process.stderr): Output {
  // `hasColors` looks at NO_COLOR, FORCE_COLOR and TERM by itself.
  const colors = stdout.isTTY === true && stdout.hasColors?.() === true;
  const bold = (text: string): string => (colors ? `\u001b[1m${text}\u001b[22m` : text);
  const line = (text = ''): void => void stdout.write(`${text}\n`);
  return {
    colors,
    line,
    bold,
    remark: (text) => void stderr.write(`${text}\n`),
    json: (value) => line(JSON.stringify(value, null, 2)),
    table(head, rows) {
      const widths = head.map((title, column) =>
        Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
      );
      const format = (cells: readonly string[]): string =>
        cells
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd();
      line(bold(format(head)));
      for (const row of rows) line(format(row));
    },
  };
}

export const shortDigest = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);

export const instant = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').slice(0, 19);
