/** An endpoint's online features, in the form that joining them is quickest with. */
import type { FeatureSpec } from '../../domain/manifest/model-manifest.ts';
import type { FeatureViewSpec } from '../../domain/manifest/serving-spec.ts';
import type { CachedView, FeatureCache } from './feature-cache.ts';

export interface PlannedFeature {
  readonly name: string;
  /** Place in the statuses. */
  readonly index: number;
  /** Place in a row of the model's input. */
  readonly column: number;
  /** Name in the view, and place in its cached rows. */
  readonly feature: string;
  readonly slot: number;
  /** Beyond the TTL; below 0 unless the policy is `stale`. */
  readonly maxStaleMs: number;
  /** NaN: there is none. */
  readonly fallback: number;
}

export interface PlannedView {
  readonly view: CachedView;
  /** Place among the entities. */
  readonly entity: number;
  readonly ttlMs: number;
  /** Slots that a cached row needs to hold all features. */
  readonly slots: number;
  /** Age until which every feature of the view may be served, one way or another. */
  readonly servableMs: number;
  readonly features: readonly PlannedFeature[];
}

export interface FeaturePlan {
  readonly columns: number;
  /** Inputs that hold the keys. */
  readonly entities: readonly string[];
  readonly views: readonly PlannedView[];
  /** Names of the columns in the order of the statuses. */
  readonly names: readonly string[];
}

export function planFeatures(
  features: readonly FeatureSpec[],
  views: readonly FeatureViewSpec[],
  cache: FeatureCache,
): FeaturePlan {
  const names = features.filter(({ online }) => online !== undefined).map(({ name }) => name);
  const used = views.filter(({ name }) => features.some(({ online }) => online?.view === name));
  const entities = [...new Set(used.map(({ entity }) => entity))];
  const planned = used.map((spec): PlannedView => {
    const view = cache.view(spec.name);
    const own = features.flatMap((feature, column) => planFeature(feature, column, spec.name, view, names));
    return {
      view,
      entity: entities.indexOf(spec.entity),
      ttlMs: spec.ttlMs,
      slots: Math.max(...own.map(({ slot }) => slot)) + 1,
      servableMs: spec.ttlMs + Math.max(0, Math.min(...own.map(({ maxStaleMs }) => maxStaleMs))),
      features: own,
    };
  });
  return { columns: features.length, entities, views: planned, names };
}

function planFeature(
  { name, online }: FeatureSpec,
  column: number,
  viewName: string,
  view: CachedView,
  names: readonly string[],
): PlannedFeature[] {
  if (online?.view !== viewName) return [];
  const { feature, onMissing } = online;
  return [
    {
      name,
      index: names.indexOf(name),
      column,
      feature,
      slot: view.slot(feature),
      maxStaleMs: onMissing === 'stale' ? (online.maxStaleMs ?? -1) : -1,
      fallback: onMissing === 'fail' ? NaN : (online.default ?? NaN),
    },
  ];
}
