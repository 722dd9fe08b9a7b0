/** Every metric of the gateway; `docs/reference/metrics.md` is held against this table. */
import type { MetricRow } from '../../platform/telemetry/index.ts';

/** In seconds, around SLOs of 5–250 ms. */
const LATENCY = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.04, 0.05, 0.06, 0.075, 0.1, 0.25, 0.5, 1, 2.5];
/** In seconds: one run of a model, and the wait for it. */
const RUN = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/** Of scores in 0–1: from the noise of float32 up. */
const DIFFERENCE = [1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];

const VERSION = ['endpoint', 'version'] as const;
const ARM = [...VERSION, 'arm', 'outcome'] as const;

export const GATEWAY_METRICS = {
  predictions: {
    name: 'slipway_gateway_predictions',
    observed: true,
    kind: 'counter',
    labels: ARM,
    meaning: 'predictions; `outcome` is `ok`, `error` or `invalid`',
  },
  latency: {
    name: 'slipway_gateway_latency_seconds',
    hot: true,
    kind: 'histogram',
    labels: ARM,
    meaning: 'time in the gateway from the headers of the request to the answer',
    buckets: LATENCY,
  },
  refusals: {
    name: 'slipway_gateway_refusals',
    kind: 'counter',
    labels: ['code'],
    meaning: 'requests answered with an error before they reached a model',
  },
  queue: {
    name: 'slipway_gateway_queue_seconds',
    hot: true,
    kind: 'histogram',
    labels: VERSION,
    meaning: 'wait of the oldest request of a batch for the model',
    buckets: RUN,
  },
  batchRows: {
    name: 'slipway_gateway_batch_rows',
    hot: true,
    kind: 'histogram',
    labels: [...VERSION, 'placement'],
    meaning: 'rows of one run of a model',
    buckets: ROWS,
  },
  runTime: {
    name: 'slipway_gateway_run_seconds',
    hot: true,
    kind: 'histogram',
    labels: [...VERSION, 'placement'],
    meaning: 'one run of a model',
    buckets: RUN,
  },
  dispatches: {
    name: 'slipway_gateway_dispatches',
    observed: true,
    kind: 'counter',
    labels: [...VERSION, 'reason'],
    meaning:
      'runs by what ended the batch: `idle` (one request found the model free), `drained`, `full`, `slice`',
  },
  batchDropped: {
    name: 'slipway_gateway_queue_dropped',
    kind: 'counter',
    labels: [...VERSION, 'reason'],
    meaning: 'requests that left the queue without an answer of the model: `expired` or `cancelled`',
  },
  isolated: {
    name: 'slipway_gateway_isolated',
    kind: 'counter',
    labels: VERSION,
    meaning: 'requests that were run again by themselves because their batch failed',
  },
  costPerRow: {
    name: 'slipway_gateway_cost_row_seconds',
    observed: true,
    kind: 'gauge',
    labels: VERSION,
    meaning: 'learned cost of one more row in a run',
  },
  costPerRun: {
    name: 'slipway_gateway_cost_run_seconds',
    observed: true,
    kind: 'gauge',
    labels: VERSION,
    meaning: 'learned cost of a run besides its rows',
  },
  costResidual: {
    name: 'slipway_gateway_cost_residual_seconds',
    observed: true,
    kind: 'gauge',
    labels: VERSION,
    meaning: 'typical difference between the learned cost and a run',
  },
  placementMoves: {
    name: 'slipway_gateway_placement_moves',
    kind: 'counter',
    labels: [...VERSION, 'placement'],
    meaning: 'times that a version moved, by where it runs since',
  },
  threadsRecycled: {
    name: 'slipway_gateway_threads_recycled',
    kind: 'counter',
    labels: VERSION,
    meaning: 'model threads replaced by fresh ones',
  },
  shadowDropped: {
    name: 'slipway_gateway_shadow_dropped',
    kind: 'counter',
    labels: ['endpoint', 'reason'],
    meaning:
      'mirrored requests that were dropped: `full` queue, or live requests were short of time (`pressure`)',
  },
  shadowFlips: {
    name: 'slipway_gateway_shadow_flips',
    kind: 'counter',
    labels: VERSION,
    meaning: 'pairs in which champion and candidate chose another class',
  },
  shadowDifference: {
    name: 'slipway_gateway_shadow_difference',
    kind: 'histogram',
    labels: ['endpoint', 'pair'],
    meaning:
      'largest difference of scores of a pair: `candidate` against the champion, `champion` against itself in a batch of another size',
    buckets: DIFFERENCE,
  },
  predictionsDropped: {
    name: 'slipway_gateway_prediction_log_dropped',
    kind: 'counter',
    labels: ['log'],
    meaning: 'prediction rows that could not be kept: for the database (`rows`), or on disk (`segments`)',
  },
  predictionsLogged: {
    name: 'slipway_gateway_prediction_log_rows',
    kind: 'counter',
    labels: ['endpoint'],
    meaning: 'prediction rows committed to segments on disk',
  },
  logBytes: {
    name: 'slipway_gateway_prediction_log_bytes',
    kind: 'counter',
    labels: [],
    meaning: 'bytes of prediction segments written',
  },
  logCommit: {
    name: 'slipway_gateway_prediction_log_commit_seconds',
    kind: 'histogram',
    labels: [],
    meaning: 'one group commit of the prediction log, with its flush to disk',
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
  },
  logFailures: {
    name: 'slipway_gateway_prediction_log_failures',
    kind: 'counter',
    labels: [],
    meaning: 'commits of the prediction log that failed and are tried again',
  },
  shed: {
    name: 'slipway_gateway_shed',
    kind: 'counter',
    labels: ['endpoint', 'reason', 'priority'],
    meaning: 'requests turned away with 429: `level`, `wait`, `limit`, `cap`, `pressure` or `retry`',
  },
  limit: {
    name: 'slipway_gateway_limit',
    kind: 'gauge',
    labels: [],
    meaning: 'adaptive limit of requests under way, the lowest of the endpoints',
  },
  inFlight: {
    name: 'slipway_gateway_in_flight',
    kind: 'gauge',
    labels: [],
    meaning: 'admitted requests under way',
  },
  predictedWait: {
    name: 'slipway_gateway_predicted_wait_seconds',
    hot: true,
    kind: 'histogram',
    labels: ['endpoint'],
    meaning: 'time to the answer as expected at admission, of answered requests',
    buckets: LATENCY,
  },
  actualWait: {
    name: 'slipway_gateway_actual_wait_seconds',
    hot: true,
    kind: 'histogram',
    labels: ['endpoint'],
    meaning: 'the same as it turned out',
    buckets: LATENCY,
  },
  loopUtilization: {
    name: 'slipway_gateway_event_loop_utilization',
    kind: 'gauge',
    labels: [],
    meaning: 'share of the last 100 ms in which the event loop was busy',
  },
  loopDelay: {
    name: 'slipway_gateway_event_loop_delay_seconds',
    kind: 'gauge',
    labels: [],
    meaning: '99th percentile of the delay of the event loop in the last 100 ms',
  },
  rejectShare: {
    name: 'slipway_gateway_reject_share',
    kind: 'gauge',
    labels: [],
    meaning: 'share of the last 100 ms that was spent on turning requests away',
  },
  shedLevel: {
    name: 'slipway_gateway_shed_level',
    kind: 'gauge',
    labels: [],
    meaning: 'rank below which requests are shed, of 128; at 96 only critical ones are left',
  },
  storeReads: {
    name: 'slipway_gateway_feature_store_seconds',
    kind: 'histogram',
    labels: ['outcome'],
    meaning: 'one round trip to the online feature store: `ok`, `failed` or `abandoned`',
    buckets: RUN,
  },
  featureWaits: {
    name: 'slipway_gateway_feature_wait_seconds',
    kind: 'histogram',
    labels: ['in_time'],
    meaning: 'wait of a request for features that were not in the cache',
    buckets: RUN,
  },
  warmUps: {
    name: 'slipway_gateway_feature_warm_up_seconds',
    kind: 'gauge',
    labels: ['complete'],
    meaning: 'how long the last warming of the feature cache took',
  },
  featureLookups: {
    name: 'slipway_gateway_feature_lookups',
    observed: true,
    kind: 'counter',
    labels: ['result'],
    meaning:
      'lookups in the feature cache by row and view: `hit`, `stale` (asked again meanwhile), `negative`, `miss`',
  },
  featureValues: {
    name: 'slipway_gateway_feature_values',
    observed: true,
    kind: 'counter',
    labels: ['endpoint', 'view', 'feature', 'cause', 'defaulted'],
    meaning: 'online values by what became of them: PRESENT, NOT_FOUND, EXPIRED, NULL, UNAVAILABLE',
  },
  modelsRefused: {
    name: 'slipway_gateway_models_refused',
    kind: 'counter',
    labels: [...VERSION, 'code'],
    meaning: 'model versions refused at load',
  },
  loadTime: {
    name: 'slipway_gateway_model_load_seconds',
    kind: 'histogram',
    labels: [...VERSION, 'placement'],
    meaning: 'time to verify, load and warm up a model',
  },
  generation: {
    name: 'slipway_gateway_route_generation',
    kind: 'gauge',
    labels: ['endpoint'],
    meaning: 'route generation in force',
  },
  share: {
    name: 'slipway_gateway_experiment_share',
    observed: true,
    kind: 'gauge',
    labels: ['endpoint', 'experiment', 'arm'],
    meaning: 'share of live requests that an arm of the experiment has at present, 0–1',
  },
  reachable: {
    name: 'slipway_gateway_control_plane_reachable',
    kind: 'gauge',
    labels: ['part'],
    meaning: '1 when the database answered last time',
  },
  trips: {
    name: 'slipway_gateway_trips',
    kind: 'counter',
    labels: VERSION,
    meaning: 'times that the local breaker took an arm out of traffic',
  },
} as const satisfies Record<string, MetricRow>;
