/**
 * Prometheus expositions of several processes as one: each sample gets the label `process`, each family stands once
 * with its first HELP and TYPE, as the text format demands. A process that did not answer shows as
 * `slipway_gateway_process_up 0`, so that a gap in its counters has an explanation.
 */

export interface ProcessMetrics {
  readonly process: string;
  /** Null when the process did not answer in time. */
  readonly text: string | null;
}

interface Family {
  help: string | null;
  type: string | null;
  readonly samples: string[];
}

/** Suffixes under which the samples of a histogram or summary stand. */
const PART = /_(?:bucket|sum|count)$/;
const UP_HELP = '# HELP slipway_gateway_process_up 1 when the process answered this scrape.';

export function mergeMetrics(parts: readonly ProcessMetrics[]): string {
  const families = new Map<string, Family>();
  for (const { process, text } of parts) if (text !== null) collect(families, process, text);
  const lines: string[] = [];
  for (const { help, type, samples } of families.values()) {
    if (help !== null) lines.push(help);
    if (type !== null) lines.push(type);
    for (const sample of samples) lines.push(sample);
  }
  lines.push(UP_HELP, '# TYPE slipway_gateway_process_up gauge');
  for (const { process, text } of parts) {
    lines.push(`slipway_gateway_process_up{process="${process}"} ${text === null ? 0 : 1}`);
  }
  return `${lines.join('\n')}\n`;
}

function collect(families: Map<string, Family>, process: string, text: string): void {
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+)/.exec(line);
    if (comment !== null) {
      const found = familyOf(families, comment[2]!);
      if (comment[1] === 'HELP') found.help ??= line;
      else found.type ??= line;
    } else if (!line.startsWith('#')) {
      const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
      // What is no sample would make the whole scrape unreadable.
      if (name === undefined) continue;
      const whole = name.replace(PART, '');
      const isPart = !families.has(name) && families.has(whole);
      familyOf(families, isPart ? whole : name).samples.push(labelled(line, name, process));
    }
  }
}

function familyOf(families: Map<string, Family>, name: string): Family {
  let found = families.get(name);
  if (found === undefined) families.set(name, (found = { help: null, type: null, samples: [] }));
  return found;
}

function labelled(line: string, name: string, process: string): string {
  const rest = line.slice(name.length);
  if (!rest.startsWith('{')) return `${name}{process="${process}"}${rest}`;
  // A label of this name gives way, under the name that Prometheus itself uses for it.
  const labels = rest.slice(1).replace(/^((?:[^"}]|"(?:[^"\\]|\\.)*")*?)\bprocess=/, '$1exported_process=');
  return `${name}{process="${process}"${labels.startsWith('}') ? '' : ','}${labels}`;
}
