/** Guarantees: lower classes first; in a class the same users for an hour, others the next; no level without a way back. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { BULK, CRITICAL, DEFAULT, SHEDDABLE } from '../../../serving/admission/priority.ts';
import type { Priority } from '../../../serving/admission/priority.ts';
import { BANDS, ShedLevel } from '../../../serving/admission/shed-level.ts';

const HOUR = 3_600_000;
const CLASSES: readonly Priority[] = [BULK, SHEDDABLE, DEFAULT, CRITICAL];
const users = Array.from({ length: 1000 }, (_, user) => `user-${user}`);

/** Windows in which every user sends one request of each class, and `room` of them fit. */
function windows(level: ShedLevel, count: number, room: number): void {
  for (let i = 0; i < count; i += 1) {
    let admitted = 0;
    for (const user of users) {
      for (const priority of CLASSES) {
        if (level.sheds(level.rank(priority, user, 0))) continue;
        if (admitted < room) level.admitted();
        else level.turnedAway();
        admitted += 1;
      }
    }
    level.update();
  }
}

describe('admission: the shed level', () => {
  it('sheds whole classes from below, until what passes fits', () => {
    const level = new ShedLevel();
    windows(level, 40, 2500);
    // 2,500 of 4,000: critical, default, and half of sheddable.
    assert.ok(level.level > BANDS && level.level <= 2 * BANDS, `${level.level}`);
    windows(level, 40, 1200);
    assert.ok(level.level > 2 * BANDS && level.level <= 3 * BANDS, `${level.level}`);
  });

  it('never sheds critical requests', () => {
    const level = new ShedLevel();
    windows(level, 60, 10);
    for (const user of users) assert.equal(level.sheds(level.rank(CRITICAL, user, 0)), false);
  });

  it('sheds nobody soon after there is room again, though nobody was admitted before', () => {
    const level = new ShedLevel();
    windows(level, 60, 0);
    assert.equal(level.level, CRITICAL * BANDS);
    windows(level, 48, Infinity);
    assert.equal(level.level, 0);
  });

  it('ignores a single window that is too full: a stall is no overload', () => {
    const level = new ShedLevel();
    windows(level, 20, Infinity);
    windows(level, 1, 100);
    windows(level, 1, Infinity);
    assert.equal(level.level, 0);
  });

  it('keeps a user’s place for an hour and gives it to others in the next', () => {
    const level = new ShedLevel();
    const first = (at: number): Set<string> =>
      new Set(users.filter((user) => level.rank(DEFAULT, user, at) < DEFAULT * BANDS + 8));
    const now = first(0);
    assert.deepEqual(first(HOUR - 1), now);
    const later = first(HOUR);
    assert.ok(now.size > 200 && now.size < 300, `${now.size}`);
    // A quarter of the users is shed first; by chance a quarter of them would be so again.
    const again = [...later].filter((user) => now.has(user)).length;
    assert.ok(again < 0.4 * now.size, `${again} of ${now.size}`);
  });

  it('spreads requests without a user over all places', () => {
    const level = new ShedLevel();
    const ranks = new Set(Array.from({ length: BANDS }, () => level.rank(DEFAULT, undefined, 0)));
    assert.equal(ranks.size, BANDS);
  });
});
