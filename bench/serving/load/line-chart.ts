/** A line chart as SVG that is readable on light and dark pages: it brings its own background for either. */

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Marks at the points, where they are few and measured one by one. */
  readonly marks?: boolean;
}

export interface Guide {
  readonly name: string;
  readonly x?: number;
  readonly y?: number;
}

export interface Axis {
  readonly label: string;
  readonly log?: boolean;
  readonly from?: number;
  readonly to?: number;
}

export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly guides?: readonly Guide[];
}

const WIDTH = 760;
const HEIGHT = 400;
const PLOT = { left: 70, right: 740, top: 68, bottom: 350 };
const TICKS = 6;
// Okabe and Ito's colours, which colour-blind readers can tell apart, in a version for each background.
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .page { fill: #ffffff } .grid { stroke: #d0d7de } .frame { stroke: #57606a; fill: none }
  .guide { stroke: #57606a; stroke-dasharray: 5 4 } .line { fill: none; stroke-width: 2 }
  .c0 { stroke: #0072b2 } .c1 { stroke: #d55e00 } .c2 { stroke: #009e73 } .c3 { stroke: #aa4a88 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117 } .grid { stroke: #30363d }
    .frame, .guide { stroke: #8b949e }
    .c0 { stroke: #56b4e9 } .c1 { stroke: #e69f00 } .c2 { stroke: #2bc79a } .c3 { stroke: #d98cc0 }
  }`;

interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

export function lineChart({ title, x, y, series, guides = [] }: Chart): string {
  const points = series.flatMap((one) => one.points).filter(([, value]) => Number.isFinite(value));
  const xScale = scale(
    x,
    [...points.map(([value]) => value), ...guides.flatMap((g) => g.x ?? [])],
    PLOT.left,
    PLOT.right,
  );
  const yScale = scale(
    y,
    [...points.map(([, value]) => value), ...guides.flatMap((g) => g.y ?? [])],
    PLOT.bottom,
    PLOT.top,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>`,
    `<text class="title" x="${PLOT.left}" y="24">${escaped(title)}</text>`,
    ...legend(series),
    ...xScale.ticks.map((tick) => {
      const at = round(xScale.at(tick));
      return `<line class="grid" x1="${at}" x2="${at}" y1="${PLOT.top}" y2="${PLOT.bottom}"/><text x="${at}" y="${PLOT.bottom + 18}" text-anchor="middle">${number(tick)}</text>`;
    }),
    ...yScale.ticks.map((tick) => {
      const at = round(yScale.at(tick));
      return `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${at}" y2="${at}"/><text x="${PLOT.left - 8}" y="${at + 4}" text-anchor="end">${number(tick)}</text>`;
    }),
    `<rect class="frame" x="${PLOT.left}" y="${PLOT.top}" width="${PLOT.right - PLOT.left}" height="${PLOT.bottom - PLOT.top}"/>`,
    `<text x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escaped(x.label)}</text>`,
    `<text transform="translate(18 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(y.label)}</text>`,
    ...guides.map((guide) => drawnGuide(guide, xScale, yScale)),
    ...series.flatMap((one, index) => drawn(one, index, xScale, yScale)),
    '</svg>\n',
  ].join('\n');
}

function drawn({ points, marks = false }: Series, index: number, x: Scale, y: Scale): string[] {
  const parts: string[] = [];
  let path = '';
  for (const [px, py] of points) {
    if (!Number.isFinite(py)) {
      // A gap: nothing was measured there.
      if (path !== '') parts.push(path);
      path = '';
      continue;
    }
    const [cx, cy] = [round(x.at(px)), round(y.at(py))];
    path += `${path === '' ? 'M' : 'L'}${cx} ${cy}`;
    if (marks) parts.push(`M${cx - 3} ${cy}h6M${cx} ${cy - 3}v6`);
  }
  if (path !== '') parts.push(path);
  return parts.map((d) => `<path class="line c${index}" d="${d}"/>`);
}

function drawnGuide({ name, x, y }: Guide, xScale: Scale, yScale: Scale): string {
  if (x !== undefined) {
    const at = round(xScale.at(x));
    return `<line class="guide" x1="${at}" x2="${at}" y1="${PLOT.top}" y2="${PLOT.bottom}"/><text x="${at - 6}" y="${PLOT.top + 14}" text-anchor="end">${escaped(name)}</text>`;
  }
  const at = round(yScale.at(y ?? 0));
  return `<line class="guide" x1="${PLOT.left}" x2="${PLOT.right}" y1="${at}" y2="${at}"/><text x="${PLOT.left + 6}" y="${at - 5}">${escaped(name)}</text>`;
}

function legend(series: readonly Series[]): string[] {
  let at = PLOT.left;
  return series.map(({ name }, index) => {
    const from = at;
    at += 40 + 7.5 * name.length;
    return `<line class="line c${index}" x1="${from}" x2="${from + 22}" y1="48" y2="48"/><text x="${from + 28}" y="52">${escaped(name)}</text>`;
  });
}

function scale(
  { log = false, from, to }: Axis,
  values: readonly number[],
  start: number,
  end: number,
): Scale {
  const least = from ?? Math.min(...values);
  const most = to ?? Math.max(...values);
  if (log) {
    const low = Math.floor(Math.log10(Math.max(1e-3, least)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(most)));
    const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
    const at = (value: number): number =>
      start + ((Math.log10(Math.max(value, 1e-3)) - low) / (high - low)) * (end - start);
    return { ticks, at };
  }
  const step = niceStep((most - least) / TICKS || 1);
  const low = Math.floor(least / step + 1e-9) * step;
  const high = Math.ceil(most / step - 1e-9) * step;
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  return { ticks, at: (value) => start + ((value - low) / (high - low)) * (end - start) };
}

function niceStep(rough: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * magnitude >= rough) ?? 10;
  return factor * magnitude;
}

const FORMAT = new Intl.NumberFormat('en', { maximumFractionDigits: 3 });

function number(value: number): string {
  return FORMAT.format(value);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
