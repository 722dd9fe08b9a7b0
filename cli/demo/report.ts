/** `report.json` of a demo: what happened, in numbers, with the machine that they were measured on. */
import { cpus, totalmem } from 'node:os';
import type { StoryFacts } from './story.ts';

export interface ChapterReport {
  readonly title: string;
  readonly seconds: number;
  readonly happened: boolean;
  readonly reason?: string;
}

export interface DemoReport extends StoryFacts {
  readonly startedAt: string;
  readonly seconds: number;
  readonly succeeded: boolean;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly node: string;
  };
  readonly temporalUi: string | undefined;
  readonly api: string;
  readonly gateway: string;
  readonly chapters: readonly ChapterReport[];
}

export function thisMachine(): DemoReport['machine'] {
  const cores = cpus();
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
}
