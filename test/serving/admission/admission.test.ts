/** Guarantees of the decision: what is rejected, why, in which order, and for how long. In a time of its own. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SlipwayError } from '../../../domain/errors.ts';
import type { AdmissionState, ShedReason } from '../../../serving/admission/admission-metrics.ts';
import { Admission } from '../../../serving/admission/admission.ts';
import { AdmissionTicket } from '../../../serving/admission/admission-ticket.ts';
import type { LoopSample } from '../../../serving/admission/loop-probe.ts';
import { BULK, priorityOfParameter, PRIORITIES } from '../../../serving/admission/priority.ts';
import type { PriorityName } from '../../../serving/admission/priority.ts';
import type { Rejection } from '../../../serving/admission/rejection.ts';
import { createRng } from '../../support/rng.ts';

const CALM: LoopSample = { elapsedMs: 100, busyMs: 10, utilization: 0.1, delayP99Ms: 0 };

class Bench {
  now = 0;
  modelMs = 0.1;
  waitingRows = 0;
  readonly shed: string[] = [];
  readonly waits: [number, number][] = [];
  state: AdmissionState | null = null;
  readonly admission: Admission;

  constructor(settings = {}) {
    const random = createRng(1);
    this.admission = new Admission({
      clock: { now: () => this.now, monotonic: () => this.now },
      rng: () => random.next(),
      // It sleeps all the time, so that no request has waited before it is seen.
      probe: { idleMs: () => this.now, afterTurn: (end) => end(), sample: () => CALM, close() {} },
      metrics: {
        shed: (_, reason, priority) => void this.shed.push(`${priority}/${reason}`),
        waited: (_, predicted, actual) => void this.waits.push([predicted, actual]),
        state: (state) => void (this.state = state),
      },
      settings,
    });
  }

  decide(headers: Record<string, string> = {}, endpoint = 'toy'): AdmissionTicket | Rejection {
    this.now += 1;
    const model = { waitingRows: this.waitingRows, predictMs: () => this.modelMs };
    return this.admission.decide(headers, endpoint, 1000, model, this.now);
  }

  fill(count: number): AdmissionTicket[] {
    return Array.from({ length: count }, () => ticketOf(this.decide({ 'x-priority': 'critical' })));
  }
}

function ticketOf(decision: AdmissionTicket | Rejection): AdmissionTicket {
  assert.ok(decision instanceof AdmissionTicket, JSON.stringify(decision));
  return decision;
}

function reasonOf(decision: AdmissionTicket | Rejection): ShedReason | null {
  return decision instanceof AdmissionTicket ? null : decision.reason;
}

function refuses(headers: Record<string, string>, message: RegExp): void {
  assert.throws(
    () => new Bench().decide(headers),
    (error) =>
      error instanceof SlipwayError && error.code === 'INVALID_REQUEST' && message.test(error.message),
  );
}

describe('admission: headers', () => {
  it('refuses an unknown priority and names it', () => refuses({ 'x-priority': 'urgent' }, /"urgent"/));

  it('refuses a deadline that is no positive whole number up to ten minutes', () => {
    for (const value of ['0', '-1', '1.5', '600001', '1e3', '', 'soon', '9999999']) {
      refuses({ 'x-deadline-ms': value }, /x-deadline-ms/);
    }
    assert.equal(ticketOf(new Bench().decide({ 'x-deadline-ms': '600000' })).deadlineMs, 600_001);
  });

  it('refuses a retry attempt that is no number', () =>
    refuses({ 'x-retry-attempt': 'two' }, /x-retry-attempt/));

  it('takes the endpoint’s deadline without one', () => {
    assert.equal(ticketOf(new Bench().decide()).deadlineMs, 1001);
  });

  it('lets the body shorten the deadline and lower the priority, never the other way', () => {
    const ticket = ticketOf(new Bench().decide({ 'x-priority': 'sheddable' }));
    ticket.shorten(250_000);
    assert.equal(ticket.deadlineMs, 251);
    ticket.shorten(5_000_000);
    ticket.shorten(0);
    assert.equal(ticket.deadlineMs, 251);
    const before = ticket.priority;
    assert.equal(ticket.lower(priorityOfParameter(1)), true);
    assert.equal(ticket.priority, before);
    assert.equal(ticket.lower(priorityOfParameter(4)), true);
    assert.equal(ticket.priority, BULK);
  });
});

describe('admission: decisions', () => {
  it('rejects what would wait for more than half of its deadline', () => {
    const bench = new Bench();
    bench.modelMs = 60;
    assert.equal(reasonOf(bench.decide({ 'x-deadline-ms': '100' })), 'wait');
    assert.equal(reasonOf(bench.decide({ 'x-deadline-ms': '200' })), null);
  });

  it('sheds bulk, then sheddable, then default as more are under way, critical only at the cap', () => {
    const bench = new Bench();
    const shedAt = new Map<PriorityName, number>();
    for (let under = 0; under < 256; under += 1) {
      for (const name of PRIORITIES) {
        // Each probe leaves at once; only the critical ones stay.
        const decision = bench.decide({ 'x-priority': name });
        if (decision instanceof AdmissionTicket) decision.release(false, bench.now);
        else if (!shedAt.has(name)) shedAt.set(name, under);
      }
      bench.fill(1);
    }
    const [bulk = 0, sheddable = 0, usual = 0, critical] = PRIORITIES.map((name) => shedAt.get(name));
    // Of a limit of 128.
    assert.ok(bulk >= 0.6 * 128 && bulk < 0.75 * 128, `bulk ${bulk}`);
    assert.ok(sheddable >= 0.75 * 128 && sheddable < 0.9 * 128, `sheddable ${sheddable}`);
    assert.ok(usual >= 0.9 * 128 && usual <= 128, `default ${usual}`);
    assert.equal(critical, undefined);
    assert.equal(reasonOf(bench.decide({ 'x-priority': 'critical' })), 'cap');
  });

  it('counts the rows that wait for the model, and keeps a quarter of their cap for critical requests', () => {
    const bench = new Bench();
    bench.waitingRows = 200;
    assert.equal(reasonOf(bench.decide()), 'limit');
    assert.equal(reasonOf(bench.decide({ 'x-priority': 'critical' })), null);
    bench.waitingRows = 256;
    assert.equal(reasonOf(bench.decide({ 'x-priority': 'critical' })), 'cap');
  });

  it('sheds the same users while it is full, not everybody a little', () => {
    const bench = new Bench();
    bench.fill(Math.ceil(0.97 * 128));
    const verdicts = (): (ShedReason | null)[] =>
      Array.from({ length: 200 }, (_, user) => {
        const decision = bench.decide({ 'x-slipway-unit': `user-${user}` });
        if (decision instanceof AdmissionTicket) decision.release(false, bench.now);
        return reasonOf(decision);
      });
    const first = verdicts();
    assert.ok(first.includes('limit') && first.includes(null));
    assert.deepEqual(verdicts(), first);
  });

  it('sheds bulk and sheddable when the event loop has no time left, default and critical not', () => {
    const bench = new Bench();
    bench.decide();
    for (let i = 0; i < 20; i += 1) {
      bench.admission.window({ elapsedMs: 100, busyMs: 100, utilization: 1, delayP99Ms: 5 });
    }
    const reasons = PRIORITIES.map((name) => reasonOf(bench.decide({ 'x-priority': name })));
    assert.deepEqual(reasons, ['pressure', 'pressure', null, null]);
    assert.equal(bench.admission.underPressure, true);
    for (let i = 0; i < 20; i += 1) bench.admission.window(CALM);
    assert.equal(bench.admission.underPressure, false);
    for (let i = 0; i < 20; i += 1) bench.admission.window({ ...CALM, delayP99Ms: 150 });
    assert.equal(reasonOf(bench.decide({ 'x-priority': 'bulk' })), 'pressure');
  });

  it('admits retries for a tenth of what is admitted otherwise', () => {
    const bench = new Bench();
    const retries = (): number => {
      let admitted = 0;
      for (let i = 0; i < 300; i += 1) {
        const decision = bench.decide({ 'x-retry-attempt': '1', 'x-priority': 'critical' });
        if (!(decision instanceof AdmissionTicket)) assert.equal(decision.reason, 'retry');
        else {
          admitted += 1;
          decision.release(true, bench.now);
        }
      }
      return admitted;
    };
    assert.ok(retries() <= 3);
    for (let i = 0; i < 1000; i += 1)
      ticketOf(bench.decide({ 'x-retry-attempt': '0' })).release(true, bench.now);
    const later = retries();
    assert.ok(later >= 95 && later <= 103, `${later}`);
  });

  it('lets one in at a time when it is idle: one slow run must not shut it for good', () => {
    const bench = new Bench();
    // A single stall taught it that a run takes three seconds; a deadline is one.
    bench.modelMs = 3000;
    const admitted: AdmissionTicket[] = [];
    for (let ms = 0; ms < 1000; ms += 1) {
      const decision = bench.decide();
      if (!(decision instanceof AdmissionTicket)) continue;
      assert.equal(admitted.length === 0 || bench.admission.inFlight === 1, true);
      decision.release(true, bench.now);
      admitted.push(decision);
    }
    assert.ok(admitted.length >= 3 && admitted.length <= 12, `${admitted.length}`);
  });

  it('asks to come back in 1 to 30 whole seconds, later when it takes longer, and not all at once', () => {
    const seconds = (modelMs: number): Set<number> => {
      const bench = new Bench();
      // One is under way: an idle gateway lets in one request a window, whatever it expects.
      bench.fill(1);
      bench.modelMs = modelMs;
      return new Set(
        Array.from({ length: 200 }, () => {
          const decision = bench.decide({ 'x-deadline-ms': '1' });
          assert.ok('retryAfterS' in decision);
          assert.ok(Number.isInteger(decision.retryAfterS));
          assert.equal(
            decision.headers[decision.headers.indexOf('retry-after') + 1],
            String(decision.retryAfterS),
          );
          return decision.retryAfterS;
        }),
      );
    };
    assert.deepEqual(
      [...seconds(10)].toSorted((a, b) => a - b),
      [1, 2, 3],
    );
    assert.ok(Math.min(...seconds(8000)) >= 8 && seconds(8000).size >= 2);
    assert.deepEqual([...seconds(1e6)], [30]);
  });

  it('keeps endpoints apart: one that is full does not shed the requests of another', () => {
    const bench = new Bench();
    bench.fill(200);
    assert.equal(reasonOf(bench.decide()), 'limit');
    assert.equal(reasonOf(bench.decide({}, 'other')), null);
  });

  it('frees a place once, however often it is released', () => {
    const bench = new Bench();
    const [ticket] = bench.fill(2);
    ticket?.release(true, bench.now);
    ticket?.release(true, bench.now);
    assert.equal(bench.admission.inFlight, 1);
  });

  it('tells its metrics who was shed, why, and how well it predicted', () => {
    const bench = new Bench();
    const ticket = ticketOf(bench.decide());
    ticket.release(true, bench.now + 7);
    bench.modelMs = 5000;
    bench.decide({ 'x-priority': 'bulk' });
    bench.admission.window({ elapsedMs: 100, busyMs: 50, utilization: 0.5, delayP99Ms: 3 });
    assert.deepEqual(bench.shed, ['bulk/wait']);
    assert.equal(bench.waits[0]?.[1], 7);
    assert.ok((bench.waits[0]?.[0] ?? 0) > 0.1);
    const { limit, inFlight, eventLoopUtilization, eventLoopDelayP99Ms } = bench.state ?? {};
    assert.deepEqual([limit, inFlight, eventLoopUtilization, eventLoopDelayP99Ms], [128, 0, 0.5, 3]);
  });
});
