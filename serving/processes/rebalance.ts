/**
 * Which processes should let go of connections. Callers keep a connection for minutes, so without this a process that
 * was added under load would stay idle, and the socket that processes share would give most of a burst to one.
 */

/** Fewer than this are not worth making a caller connect again for. */
const LEAST = 2;
const UNEVEN = 1.25;

/** @param connections by slot. @returns by slot, how many to let go; absent for those that keep all. */
export function rebalance(connections: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  const shed = new Map<number, number>();
  const total = [...connections.values()].reduce((sum, count) => sum + count, 0);
  const even = total / connections.size;
  for (const [slot, count] of connections) {
    const excess = Math.floor(count - even);
    if (count > even * UNEVEN && excess >= LEAST) shed.set(slot, excess);
  }
  return shed;
}
