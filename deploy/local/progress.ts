/** What a person who waits is told: each step begins, ticks every two seconds with what is going on, and ends. */
export interface ProgressEvent {
  readonly step: string;
  readonly state: 'started' | 'waiting' | 'done' | 'failed' | 'note';
  readonly elapsedMs: number;
  readonly detail?: string;
}

export type OnProgress = (event: ProgressEvent) => void;

const TICK_MS = 2000;

export async function withProgress<T>(
  onProgress: OnProgress,
  step: string,
  run: () => Promise<T>,
  detail?: () => string | undefined,
): Promise<T> {
  const begin = performance.now();
  const emit = (state: ProgressEvent['state']): void => {
    const text = detail?.();
    const elapsedMs = Math.round(performance.now() - begin);
    onProgress(text === undefined ? { step, state, elapsedMs } : { step, state, elapsedMs, detail: text });
  };
  emit('started');
  const timer = setInterval(() => emit('waiting'), TICK_MS);
  try {
    const result = await run();
    emit('done');
    return result;
  } catch (error) {
    emit('failed');
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** One line of text per event, for a terminal or a log; steps shorter than a tick give one line, not two. */
export function progressLine(event: ProgressEvent): string | undefined {
  const seconds = (event.elapsedMs / 1000).toFixed(1);
  const detail = event.detail === undefined ? '' : `: ${event.detail}`;
  switch (event.state) {
    case 'started':
      return undefined;
    case 'waiting':
      return `… ${event.step} (${seconds} s)${detail}`;
    case 'done':
      return `✓ ${event.step} (${seconds} s)${detail}`;
    case 'failed':
      return `✗ ${event.step} (${seconds} s)${detail}`;
    case 'note':
      return `  ${event.step}${detail}`;
  }
}
