import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Each child has one log file; each line begins with the time and the stream that it came from. */
export interface LogFile {
  readonly path: string;
  attach(stream: Readable, label: string): void;
  line(label: string, text: string): void;
  /** The last lines, for the message about a child that did not start. */
  tail(lines: number): string;
  onLine(listener: (text: string) => void): void;
  close(): void;
}

/** One older file is kept, so a stack that runs for weeks holds at most twice this much log per process. */
const ROTATE_AT_BYTES = 16 * 1024 * 1024;
const LONGEST_LINE = 64 * 1024;

export function openLogFile(path: string): LogFile {
  mkdirSync(dirname(path), { recursive: true });
  let descriptor = openSync(path, 'a', 0o600);
  let bytes = statSync(path).size;
  let open = true;
  const listeners: ((text: string) => void)[] = [];

  const line = (label: string, text: string): void => {
    for (const listener of listeners) listener(text);
    if (!open) return;
    if (bytes > ROTATE_AT_BYTES) {
      closeSync(descriptor);
      renameSync(path, `${path}.1`);
      descriptor = openSync(path, 'a', 0o600);
      bytes = 0;
    }
    bytes += writeSync(descriptor, `${new Date().toISOString()} ${label} | ${text}\n`);
  };

  return {
    path,
    line,
    attach(stream, label) {
      const decoder = new StringDecoder('utf8');
      let rest = '';
      stream.on('data', (chunk: Buffer) => {
        const parts = (rest + decoder.write(chunk)).split('\n');
        rest = parts.pop() ?? '';
        if (rest.length > LONGEST_LINE) {
          parts.push(rest);
          rest = '';
        }
        for (const part of parts) line(label, part.replace(/\r$/, ''));
      });
      stream.on('end', () => {
        if (rest !== '') line(label, rest);
      });
      // A child that ends while we read resets its pipe; its exit is reported by itself.
      stream.on('error', (error) => line('log', `could not read ${label}: ${error.message}`));
    },
    tail: (lines) => readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n'),
    onLine: (listener) => listeners.push(listener),
    close() {
      if (!open) return;
      open = false;
      closeSync(descriptor);
    },
  };
}
