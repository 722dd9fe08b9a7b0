/** The gateway's metrics in OpenTelemetry. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import { METRICS_CONTENT_TYPE, createInstruments } from '../../platform/telemetry/index.ts';
import type { HotSeries, Instruments, Telemetry } from '../../platform/telemetry/index.ts';
import type { AdmissionMetrics } from '../admission/index.ts';
import type { BatchObserver } from '../batching/batch-observer.ts';
import type { FeatureMetrics } from '../features/index.ts';
import type { SegmentMetrics } from '../prediction-log/index.ts';
import type { GatewayMetrics, GatewayState, Placement } from '../metrics.ts';
import { GATEWAY_METRICS } from './gateway-metrics.ts';

type GatewayInstruments = Instruments<typeof GATEWAY_METRICS>;

export function createGatewayMetrics({
  meter,
  histograms,
  metricsText,
}: Pick<Telemetry, 'meter' | 'histograms' | 'metricsText'>): GatewayMetrics {
  const of = createInstruments(meter, histograms, GATEWAY_METRICS);
  // By version, arm and outcome: to join the three to one key would cost more than to look them up.
  const latencies = new Map<string, Map<string, Map<string, HotSeries>>>();
  // A version that is loaded again goes on counting.
  const observers = new Map<string, Map<string, BatchObserver>>();
  of.predictions.addCallback((result) => {
    for (const { count, attributes } of of.latency.all()) result.observe(count, attributes);
  });

  return {
    prediction(endpoint, version, arm, outcome, ms) {
      const byOutcome = inner(inner(latencies, version), arm);
      let series = byOutcome.get(outcome);
      if (series === undefined) {
        byOutcome.set(outcome, (series = of.latency.series({ endpoint, version, arm, outcome })));
      }
      series.record(ms / 1000);
    },
    refusal: (code) => of.refusals.add(1, { code }),
    batches(endpoint, version) {
      const ofVersion = inner(observers, version);
      let observer = ofVersion.get(endpoint);
      if (observer === undefined) ofVersion.set(endpoint, (observer = observeBatches(of, endpoint, version)));
      return observer;
    },
    shadowDropped: (endpoint, reason) => of.shadowDropped.add(1, { endpoint, reason }),
    shadowPair(endpoint, version, difference, flipped) {
      of.shadowDifference.record(difference, { endpoint, pair: 'candidate' });
      if (flipped) of.shadowFlips.add(1, { endpoint, version });
    },
    shadowNoise: (endpoint, difference) =>
      of.shadowDifference.record(difference, { endpoint, pair: 'champion' }),
    predictionsDropped: (count) => of.predictionsDropped.add(count, { log: 'rows' }),
    ...admissionMetrics(of),
    ...logMetrics(of),
    ...featureMetrics(of),
    modelLoaded: (endpoint, version, placement, ms) =>
      of.loadTime.record(ms / 1000, { endpoint, version, placement }),
    modelRefused: (endpoint, version, code) => of.modelsRefused.add(1, { endpoint, version, code }),
    routeApplied: (endpoint, applied) => of.generation.record(applied, { endpoint }),
    watch: (state) => watchState(meter, of, state),
    tripped: (endpoint, version) => of.trips.add(1, { endpoint, version }),
    controlPlane: (part, up) => of.reachable.record(up ? 1 : 0, { part }),
    handler: async () => ({ contentType: METRICS_CONTENT_TYPE, body: await metricsText() }),
  };
}

function inner<V>(outer: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let found = outer.get(key);
  if (found === undefined) outer.set(key, (found = new Map()));
  return found;
}

function watchState(meter: Meter, of: GatewayInstruments, state: GatewayState): void {
  const { costPerRow, costPerRun, costResidual, share, featureLookups, featureValues } = of;
  const read = (result: BatchObservableResult): void => {
    for (const { endpoint, costs, shares, features } of state.endpoints()) {
      for (const { version, msPerRow, msPerRun, residualMs } of costs) {
        const labels = { endpoint, version };
        result.observe(costPerRow, msPerRow / 1000, labels);
        result.observe(costPerRun, msPerRun / 1000, labels);
        result.observe(costResidual, residualMs / 1000, labels);
      }
      for (const { experiment, arm, share: has } of shares) {
        result.observe(share, has, { endpoint, experiment, arm });
      }
      for (const { view, feature, cause, count, defaulted } of features) {
        const labels = { endpoint, view, feature, cause };
        if (count > defaulted)
          result.observe(featureValues, count - defaulted, { ...labels, defaulted: 'false' });
        if (defaulted > 0) result.observe(featureValues, defaulted, { ...labels, defaulted: 'true' });
      }
    }
    const { lookups } = state;
    if (lookups === null) return;
    result.observe(featureLookups, lookups.hits, { result: 'hit' });
    result.observe(featureLookups, lookups.stale, { result: 'stale' });
    result.observe(featureLookups, lookups.negative, { result: 'negative' });
    result.observe(featureLookups, lookups.misses, { result: 'miss' });
  };
  meter.addBatchObservableCallback(read, [
    costPerRow,
    costPerRun,
    costResidual,
    share,
    featureLookups,
    featureValues,
  ]);
}

function admissionMetrics(of: GatewayInstruments): AdmissionMetrics {
  const waits = new Map<string, { readonly predicted: HotSeries; readonly actual: HotSeries }>();
  return {
    shed: (endpoint, reason, priority) => of.shed.add(1, { endpoint, reason, priority }),
    waited(endpoint, predictedMs, actualMs) {
      let wait = waits.get(endpoint);
      if (wait === undefined) {
        const labels = { endpoint };
        wait = { predicted: of.predictedWait.series(labels), actual: of.actualWait.series(labels) };
        waits.set(endpoint, wait);
      }
      wait.predicted.record(predictedMs / 1000);
      wait.actual.record(actualMs / 1000);
    },
    state(state) {
      of.limit.record(state.limit);
      of.inFlight.record(state.inFlight);
      of.loopUtilization.record(state.eventLoopUtilization);
      of.loopDelay.record(state.eventLoopDelayP99Ms / 1000);
      of.rejectShare.record(state.rejectShare);
      of.shedLevel.record(state.shedLevel);
    },
  };
}

function logMetrics(of: GatewayInstruments): SegmentMetrics {
  return {
    predictionsLogged(endpoint, written, dropped) {
      of.predictionsLogged.add(written, { endpoint });
      if (dropped > 0) of.predictionsDropped.add(dropped, { log: 'segments' });
    },
    predictionLogCommit(bytes, ms) {
      of.logBytes.add(bytes);
      of.logCommit.record(ms / 1000);
    },
    predictionLogFailed: () => of.logFailures.add(1),
  };
}

function featureMetrics(of: GatewayInstruments): FeatureMetrics {
  return {
    storeRead: (outcome, _keys, ms) => of.storeReads.record(ms / 1000, { outcome }),
    waitedForStore: (inTime, ms) => of.featureWaits.record(ms / 1000, { in_time: String(inTime) }),
    warmedUp: (_keys, complete, ms) => of.warmUps.record(ms / 1000, { complete: String(complete) }),
  };
}

function byPlacement<V>(of: (placement: Placement) => V): Record<Placement, V> {
  return { inline: of('inline'), worker: of('worker'), remote: of('remote') };
}

/** Bound to the version once, so that a run makes no new label sets. */
function observeBatches(of: GatewayInstruments, endpoint: string, version: string): BatchObserver {
  const labels = { endpoint, version };
  const placed = byPlacement((placement) => ({ ...labels, placement }));
  const dispatches = { idle: 0, drained: 0, full: 0, slice: 0 };
  of.dispatches.addCallback((result) => {
    for (const [reason, count] of Object.entries(dispatches)) {
      if (count > 0) result.observe(count, { ...labels, reason });
    }
  });
  const queue = of.queue.series(labels);
  const rowsOf = byPlacement((placement) => of.batchRows.series(placed[placement]));
  const runTime = byPlacement((placement) => of.runTime.series(placed[placement]));
  return {
    dispatched(reason, { rows, runMs, waitedMs, placement }) {
      dispatches[reason] += 1;
      rowsOf[placement].record(rows);
      runTime[placement].record(runMs / 1000);
      queue.record(waitedMs / 1000);
    },
    dropped: (reason) => of.batchDropped.add(1, { ...labels, reason }),
    isolated: (requests) => of.isolated.add(requests, labels),
    moved: (to) => of.placementMoves.add(1, placed[to]),
    recycled: () => of.threadsRecycled.add(1, labels),
  };
}
