/** The gateway's metrics in OpenTelemetry. */
import type { Attributes, BatchObservableResult, Meter } from '@opentelemetry/api';
import { METRICS_CONTENT_TYPE, createInstruments } from '../../platform/telemetry/index.ts';
import type { Instruments, Telemetry } from '../../platform/telemetry/index.ts';
import type { AdmissionMetrics } from '../admission/index.ts';
import type { BatchObserver } from '../batching/batch-observer.ts';
import type { FeatureMetrics } from '../features/index.ts';
import type { SegmentMetrics } from '../prediction-log/index.ts';
import type { GatewayMetrics, GatewayState, Placement } from '../metrics.ts';
import { GATEWAY_METRICS } from './gateway-metrics.ts';

type GatewayInstruments = Instruments<typeof GATEWAY_METRICS>;

export function createGatewayMetrics({
  meter,
  metricsText,
}: Pick<Telemetry, 'meter' | 'metricsText'>): GatewayMetrics {
  const of = createInstruments(meter, GATEWAY_METRICS);
  // The same few combinations come again and again; new attribute objects per request would be most of the cost.
  const attributes = new Map<string, Attributes>();
  const labelled = (endpoint: string, version: string, arm: string, outcome: string): Attributes => {
    const key = `${endpoint} ${version} ${arm} ${outcome}`;
    let found = attributes.get(key);
    if (found === undefined) attributes.set(key, (found = { endpoint, version, arm, outcome }));
    return found;
  };

  return {
    prediction(endpoint, version, arm, outcome, ms) {
      const labels = labelled(endpoint, version, arm, outcome);
      of.predictions.add(1, labels);
      of.latency.record(ms / 1000, labels);
    },
    refusal: (code) => of.refusals.add(1, { code }),
    batches: (endpoint, version) => observeBatches(of, endpoint, version),
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
        if (count > defaulted) result.observe(featureValues, count - defaulted, { ...labels, defaulted: 'false' });
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
  return {
    shed: (endpoint, reason, priority) => of.shed.add(1, { endpoint, reason, priority }),
    waited(endpoint, predictedMs, actualMs) {
      const labels = { endpoint };
      of.predictedWait.record(predictedMs / 1000, labels);
      of.actualWait.record(actualMs / 1000, labels);
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

/** Bound to the version once, so that a run makes no new label sets. */
function observeBatches(of: GatewayInstruments, endpoint: string, version: string): BatchObserver {
  const labels = { endpoint, version };
  const placed: Record<Placement, Attributes> = {
    inline: { ...labels, placement: 'inline' },
    worker: { ...labels, placement: 'worker' },
    remote: { ...labels, placement: 'remote' },
  };
  const reasons = {
    idle: { ...labels, reason: 'idle' },
    drained: { ...labels, reason: 'drained' },
    full: { ...labels, reason: 'full' },
    slice: { ...labels, reason: 'slice' },
  };
  return {
    dispatched(reason, { rows, runMs, waitedMs, placement }) {
      of.dispatches.add(1, reasons[reason]);
      of.batchRows.record(rows, placed[placement]);
      of.runTime.record(runMs / 1000, placed[placement]);
      of.queue.record(waitedMs / 1000, labels);
    },
    dropped: (reason) => of.batchDropped.add(1, { ...labels, reason }),
    isolated: (requests) => of.isolated.add(requests, labels),
    moved: (to) => of.placementMoves.add(1, placed[to]),
    recycled: () => of.threadsRecycled.add(1, labels),
  };
}
