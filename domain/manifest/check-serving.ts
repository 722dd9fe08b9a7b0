/** Rules of the sections that the gateway serves by: `spec.serving`, `spec.featureViews`, `spec.features[].online`. */
import { pointer } from './json-pointer.ts';
import type { FeatureDocument, ManifestDocument } from './manifest-document.ts';
import { DEFAULTS } from './manifest-document.ts';
import { checkDuration, unique } from './report-problem.ts';
import type { Report } from './report-problem.ts';

/** Shorter, and no request could be answered; longer, and callers have gone away. */
const DEADLINE = { min: 0.001, max: 60 };
/** The input of a V2 request that holds the columns which callers send. */
const TENSOR = 'features';
const HTTP_URL = /^https?:\/\/[^\s/?#@]+(:\d{1,5})?(\/[^\s?#]*)?$/;
const REMOTE_NAME = /^([A-Za-z0-9._-]|\{version\})+$/;

export function checkServing({ spec }: ManifestDocument, report: Report): void {
  const { deadline, log, backend } = spec.serving ?? {};
  checkDuration('/spec/serving/deadline', deadline ?? DEFAULTS.deadline, report, DEADLINE);
  const logged = new Set<string>();
  (log?.features ?? []).forEach((name, index) => {
    const at = pointer('spec', 'serving', 'log', 'features', index);
    if (logged.has(name)) report(at, `${name} is there already`);
    else if (!spec.features.some((feature) => feature.name === name)) {
      report(at, `there is no feature ${name}; only declared features can be logged`);
    }
    logged.add(name);
  });
  if (backend === undefined) return;
  const { url, model } = backend.remote;
  if (!HTTP_URL.test(url)) {
    report(
      '/spec/serving/backend/remote/url',
      'must be an http:// or https:// URL without query, fragment or credentials',
    );
  }
  if (!REMOTE_NAME.test(model)) {
    report(
      '/spec/serving/backend/remote/model',
      'must be a name of letters, digits, ., _ and -; it may contain {version}',
    );
  }
}

export function checkOnlineFeatures({ spec }: ManifestDocument, report: Report): void {
  const views = spec.featureViews ?? [];
  unique(views, '/spec/featureViews', report);
  views.forEach(({ entity, ttl }, index) => {
    const at = (member: string): string => pointer('spec', 'featureViews', index, member);
    checkDuration(at('ttl'), ttl, report, { min: 0.001 });
    if (entity === TENSOR)
      report(at('entity'), `${TENSOR} is the input with the columns; choose another name`);
    if (spec.features.some(({ name }) => name === entity)) {
      report(at('entity'), `${entity} is also a feature; a key and a column need different names`);
    }
  });
  const names = views.map(({ name }) => name);
  const known = names.length === 0 ? 'none is declared in spec.featureViews' : `known: ${names.join(', ')}`;
  spec.features.forEach((feature, index) => {
    const { online } = feature;
    if (online === undefined) return;
    if (!names.includes(online.view)) {
      report(
        pointer('spec', 'features', index, 'online', 'view'),
        `there is no feature view ${online.view}; ${known}`,
      );
    }
    checkPolicy(feature, index, report);
  });
}

function checkPolicy({ min, max, online }: FeatureDocument, index: number, report: Report): void {
  const at = (member: string): string => pointer('spec', 'features', index, 'online', member);
  const policy = online?.onMissing ?? DEFAULTS.onMissing;
  const fallback = online?.default;
  if (policy === 'default' && fallback === undefined) {
    report(at('default'), 'is required with onMissing: default');
  }
  if (policy === 'fail' && fallback !== undefined) {
    report(at('default'), 'would never be used with onMissing: fail');
  }
  if (fallback !== undefined && (fallback < (min ?? -Infinity) || fallback > (max ?? Infinity))) {
    report(at('default'), 'must lie between min and max of the feature');
  }
  const maxStale = online?.maxStale;
  if (policy !== 'stale') {
    if (maxStale !== undefined) report(at('maxStale'), 'is only for onMissing: stale');
  } else if (maxStale === undefined) {
    report(at('maxStale'), 'is required with onMissing: stale; nothing is served without a limit');
  } else {
    checkDuration(at('maxStale'), maxStale, report, { min: 0.001 });
  }
}
