import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';

import type { ReleaseDetail } from '../../api/client.ts';
import { followRelease } from '../../cli/follow-release.ts';
import { createOutput } from '../../cli/output.ts';
import { SlipwayError } from '../../domain/errors.ts';
import { release } from '../api/fake-ports.ts';

const event = (phase: 'snapshot' | 'train' | 'done', message: string) => ({
  atMs: 0,
  phase,
  message,
  detail: {},
});

describe('following a release to its end', () => {
  const sink = () => {
    const out: string[] = [];
    const err: string[] = [];
    const write = (to: string[]) => ({ write: (text: string) => to.push(text) > 0 });
    return { out, err, output: createOutput(write(out), write(err)) };
  };
  const answers = (...list: readonly (ReleaseDetail | Error)[]) => {
    const left = [...list];
    return {
      async release(): Promise<ReleaseDetail> {
        const next = left.shift();
        assert.ok(next, 'asked after the end');
        if (next instanceof Error) throw next;
        return next;
      },
    };
  };
  const snapshot = event('snapshot', 'snapshot of 10 rows');
  const ended: ReleaseDetail = {
    release: release(1, { outcome: 'promoted', phase: 'done' }),
    timeline: [snapshot, event('done', 'promoted')],
    live: null,
  };

  it('tells each line of the timeline once, survives an API that is away for a moment, and ends with the release', async () => {
    const { out, err, output } = sink();
    const away = new SlipwayError('STACK_NOT_RUNNING', 'the API does not answer');
    const running: ReleaseDetail = { release: release(1), timeline: [snapshot], live: null };
    const detail = await followRelease(answers(running, running, away, ended), 'elec2/1', output, true);
    assert.equal(detail.release.outcome, 'promoted');
    assert.deepEqual(out, ['00:00:00  snapshot  snapshot of 10 rows\n', '00:00:00  done      promoted\n']);
    assert.deepEqual(err, []);
  });

  it('keeps stdout clean for JSON, and does not go on after an error that will not pass', async () => {
    const { out, output } = sink();
    await followRelease(answers(ended), 'elec2/1', output, false);
    assert.deepEqual(out, []);
    const gone = new SlipwayError('RELEASE_NOT_FOUND', 'there is no such release');
    await assert.rejects(followRelease(answers(gone), 'elec2/1', output, true), /no such release/);
  });
});
