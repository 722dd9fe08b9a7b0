/**
 * Conversions that each bandit loses in 100,000 requests against always choosing the best arm, and what the limit on
 * moves of shares costs at several rates of requests.
 *
 * usage: node dist/bench/experiments/bandits.bench.js [seeds]
 *
 * All numbers depend on the seeds alone.
 */
import type { SharePolicy } from '../../domain/experiments/experiment-spec.ts';
import type { BanditScenario } from './bandit-simulation.ts';
import { FLIP, lostByOracle, lostConversions, PLAIN_EPSILON_GREEDY, THOMPSON } from './bandit-simulation.ts';

const seeds = Number(process.argv[2] ?? 24);
if (!Number.isInteger(seeds) || seeds < 2)
  throw new Error(`the number of seeds must be a whole number of at least 2, not ${seeds}`);

const POLICIES: readonly (readonly [string, SharePolicy])[] = [
  ['Discounted Thompson (default)', THOMPSON],
  ['Discounted Thompson, no limit on moves', { ...THOMPSON, stepBp: 10_000 }],
  ['Thompson, never forgets', { ...THOMPSON, gamma: 1 }],
  ['ε-greedy 0.1, never forgets, no limit', PLAIN_EPSILON_GREEDY],
  ['ε-greedy 0.1, discounted', { ...PLAIN_EPSILON_GREEDY, gamma: 0.9999, stepBp: 1000 }],
  ['Discounted UCB', { ...THOMPSON, algorithm: 'ucb' }],
];
const SCENARIOS: readonly (readonly [string, BanditScenario])[] = [
  ['stationary', { ...FLIP, delay: 0, after: FLIP.before }],
  ['stationary, late', { ...FLIP, after: FLIP.before }],
  ['flip', { ...FLIP, delay: 0 }],
  ['flip, late', FLIP],
];

/** Mean and its standard error. */
function cell(policy: SharePolicy, scenario: BanditScenario): string {
  const lost = Array.from({ length: seeds }, (_, seed) => lostConversions(policy, scenario, seed + 1));
  const mean = lost.reduce((sum, one) => sum + one, 0) / seeds;
  const spread = lost.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (seeds - 1);
  return `${Math.round(mean)} ± ${Math.round(Math.sqrt(spread / seeds))}`;
}

const row = (cells: readonly (string | number)[]): void => console.log(`| ${cells.join(' | ')} |`);

console.log(
  `Lost conversions, mean of ${seeds} seeds ± standard error; ${FLIP.requestsPerSecond} requests/s:\n`,
);
row(['policy', ...SCENARIOS.map(([name]) => name)]);
row(['---', ...SCENARIOS.map(() => '---')]);
for (const [name, policy] of POLICIES)
  row([name, ...SCENARIOS.map(([, scenario]) => cell(policy, scenario))]);

console.log('\nFlip with late rewards, moves limited to 10 points a minute:\n');
row(['requests/s', 'discounted Thompson', 'told the best arm']);
row(['---', '---', '---']);
for (const requestsPerSecond of [5, 10, 20, 50, 100]) {
  const scenario = { ...FLIP, requestsPerSecond };
  row([requestsPerSecond, cell(THOMPSON, scenario), Math.round(lostByOracle(THOMPSON, scenario))]);
}
