/** `slipway demo`: plays the story on a private stack, tells it as a timeline, leaves a report, stops what it started. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { progressLine } from '../../deploy/local/index.ts';
import type { RunningStack } from '../../deploy/local/index.ts';
import { stackPaths } from '../../platform/config.ts';
import { freshStack, storyContext } from './demo-stack.ts';
import { thisMachine } from './report.ts';
import type { ChapterReport, DemoReport } from './report.ts';
import { CHAPTERS } from './story.ts';
import type { StoryContext } from './story.ts';

export interface DemoOptions {
  /** One line at a time. */
  readonly print: (line: string) => void;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** @returns whether every chapter happened. The report is written in any case. */
export async function runDemo({ print, signal }: DemoOptions): Promise<boolean> {
  const startedMs = Date.now();
  const folder = join(stackPaths().home, 'demo');
  mkdirSync(folder, { recursive: true });
  const clock = (): string => `${((Date.now() - startedMs) / 1000).toFixed(1).padStart(6)} s`;
  const say = (line: string): void => print(`${clock()}  ${line}`);
  print('Slipway demo: a private stack, seven chapters on the Elec2 data.');
  const stack = await freshStack(join(folder, 'stack'), (event) => {
    const line = progressLine(event);
    if (line !== undefined) say(line);
  });
  const chapters: ChapterReport[] = [];
  let context: StoryContext | undefined;
  try {
    const { api, gateway, temporalUi } = stack.info;
    print(
      `\n  Temporal UI  ${temporalUi ?? 'not of this stack'}\n  API          ${api}/openapi.json\n  gateway      ${gateway}/v2/models/elec2\n`,
    );
    context = await storyContext(stack, say);
    await playChapters(context, chapters, print, signal);
  } finally {
    await context?.replay.stop();
    say('stopping the stack');
    await stack.stop();
  }
  const report = reportOf(stack, context, chapters, startedMs);
  const file = join(folder, 'report.json');
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  printSummary(report, file, print);
  return report.succeeded;
}

async function playChapters(
  context: StoryContext,
  chapters: ChapterReport[],
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const [index, { title, play }] of CHAPTERS.entries()) {
    print(`\n${index + 1}. ${title}`);
    const begun = Date.now();
    const seconds = (): number => (Date.now() - begun) / 1000;
    try {
      await Promise.race([play(context), aborted(signal)]);
      chapters.push({ title, seconds: seconds(), happened: true });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      chapters.push({ title, seconds: seconds(), happened: false, reason });
      print(`   ✗ ${reason}`);
      return;
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new Error('interrupted'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

function reportOf(
  stack: RunningStack,
  context: StoryContext | undefined,
  chapters: readonly ChapterReport[],
  startedMs: number,
): DemoReport {
  const { api, gateway, temporalUi } = stack.info;
  return {
    startedAt: new Date(startedMs).toISOString(),
    seconds: (Date.now() - startedMs) / 1000,
    succeeded: chapters.length === CHAPTERS.length && chapters.every(({ happened }) => happened),
    machine: thisMachine(),
    temporalUi,
    api,
    gateway,
    chapters,
    ...(context?.facts ?? { releases: [] }),
  };
}

function printSummary(report: DemoReport, file: string, print: (line: string) => void): void {
  print('');
  for (const { title, seconds, happened } of report.chapters) {
    print(`  ${happened ? '✓' : '✗'} ${title} (${seconds.toFixed(1)} s)`);
  }
  if (report.canary !== undefined) {
    print(
      `\n  fault to rolled back  ${report.canary.faultToRolledBackSeconds.toFixed(1)} s, ${report.canary.badAnswers} bad answers served`,
    );
  }
  if (report.rollback !== undefined)
    print(`  rollback              ${report.rollback.milliseconds} ms, nothing reloaded`);
  print(
    `\n${report.succeeded ? 'Everything happened as told' : 'The story did not happen as told'} in ${report.seconds.toFixed(0)} s. Report: ${file}`,
  );
}
