/** The columns that a gateway logs for an endpoint. Only features on the endpoint's allow-list are among them. */
import type { SegmentColumn } from '../../platform/prediction-segments/index.ts';
import { DEFAULTED, STATUSES } from '../features/feature-status.ts';
import type { Outcome } from '../metrics.ts';

/** One feature of the allow-list. */
export interface LoggedFeature {
  readonly name: string;
  /** Its column in the input tensor. */
  readonly column: number;
  /** Its column among the statuses of online features; null for what the caller sends. */
  readonly status: number | null;
}

export interface PredictionSchema {
  readonly endpoint: string;
  /** Columns of the input tensor. */
  readonly width: number;
  readonly features: readonly LoggedFeature[];
  /** Columns of the statuses; 0 without online features. */
  readonly statusWidth: number;
}

/** The index in it is what is stored. */
export const OUTCOMES: readonly Outcome[] = ['ok', 'error', 'invalid', 'expired'];

/** For each status code what callers are told as well; codes between are not used. */
const STATUS_NAMES: readonly string[] = Array.from({ length: DEFAULTED + STATUSES.length }, (_, code) =>
  code < DEFAULTED ? (STATUSES[code] ?? '') : 'DEFAULTED',
);

/** A row of 1,024 features with statuses takes 5 KiB of the 64 KiB that a block has. */
export const MAX_LOGGED_FEATURES = 1024;

const fixed = (name: string, type: SegmentColumn['type'], nullable = false): SegmentColumn => ({
  name,
  type,
  role: 'fixed',
  nullable,
});

const FIXED: readonly SegmentColumn[] = [
  fixed('prediction_id', 'id'),
  // Null for the only row of a request.
  fixed('row', 'u16', true),
  fixed('at', 'f64'),
  fixed('generation', 'u32'),
  fixed('arm', 'dict8'),
  fixed('version', 'dict8'),
  fixed('experiment', 'dict8', true),
  fixed('propensity', 'f32', true),
  fixed('outcome', 'enum8'),
  fixed('decision', 'i64', true),
  fixed('score', 'f32', true),
  fixed('latency_us', 'u32'),
];

/** In the order in which `EndpointLog` writes them: the fixed ones, the features, the statuses. */
export function predictionColumns({ features }: PredictionSchema): readonly SegmentColumn[] {
  return [
    ...FIXED.map((column) => (column.name === 'outcome' ? { ...column, values: OUTCOMES } : column)),
    ...features.map(({ name }) => ({ name, type: 'f32', role: 'feature', nullable: false }) as const),
    ...features
      .filter(({ status }) => status !== null)
      .map(
        ({ name }) =>
          ({ name, type: 'enum8', role: 'status', nullable: false, values: STATUS_NAMES }) as const,
      ),
  ];
}

/** What is logged of an endpoint: of its features, in the order of the input tensor, those that its allow-list names. */
export function predictionSchema(
  endpoint: string,
  features: readonly { readonly name: string; readonly online?: unknown }[],
  allowed: readonly string[],
): PredictionSchema {
  const logged: LoggedFeature[] = [];
  let statusWidth = 0;
  for (const [column, { name, online }] of features.entries()) {
    const status = online === undefined ? null : statusWidth;
    if (status !== null) statusWidth += 1;
    if (allowed.includes(name)) logged.push({ name, column, status });
  }
  return { endpoint, width: features.length, features: logged, statusWidth };
}
