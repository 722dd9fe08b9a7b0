/**
 * Manifests as files: YAML (YAML 1.2) read with its line numbers, the query file put in place of its name, the data file
 * made absolute. What is wrong inside is the API's to say; here only what keeps the file from being read at all.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { LineCounter, isNode, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { SlipwayError } from '../domain/errors.ts';
import type { Problem } from '../domain/errors.ts';

export interface ModelDocument {
  readonly file: string;
  readonly name: string;
  /** As the API takes it. */
  readonly manifest: unknown;
  /** Names for the API's messages. */
  readonly sources: { readonly manifest: string; readonly query?: string };
  /** What a program needs that makes the example's own rows. */
  readonly data: {
    readonly file: string;
    readonly query: string;
    readonly features: readonly string[];
    readonly target: string;
  };
  /** 1-based line of what a JSON pointer names, or of the nearest thing around it. */
  lineOf(pointer: string): number | undefined;
}

/** Manifests of a file, or of a folder: every `.yaml` and `.yml` in it. @throws SlipwayError INVALID_MANIFEST, NOT_FOUND */
export async function readModelDocuments(path: string): Promise<readonly ModelDocument[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new SlipwayError('NOT_FOUND', `there is no file or folder ${path}`);
  if (!found.isDirectory()) return [await readModelDocument(path)];
  const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).sort();
  if (names.length === 0) throw new SlipwayError('NOT_FOUND', `there is no .yaml file in ${path}`);
  return Promise.all(names.map((name) => readModelDocument(join(path, name))));
}

export async function readModelDocument(file: string): Promise<ModelDocument> {
  const lines = new LineCounter();
  const document = parseDocument(await readText(file), { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw invalid(
      file,
      document.errors.map(({ message, pos }) => ({
        file: `${file}:${lines.linePos(pos[0]).line}`,
        path: '',
        reason: message,
      })),
    );
  }
  const manifest = asObject(document.toJS(), file);
  const spec = asObject(manifest['spec'] ?? {}, file);
  const data = asObject(spec['data'] ?? {}, file);
  const queryFile = typeof data['queryFile'] === 'string' ? data['queryFile'] : undefined;
  if (queryFile !== undefined && data['query'] === undefined) {
    data['query'] = await readText(resolve(dirname(file), queryFile));
    delete data['queryFile'];
  }
  if (typeof data['file'] === 'string' && !isAbsolute(data['file']))
    data['file'] = resolve(dirname(file), data['file']);
  const features = Array.isArray(spec['features']) ? spec['features'] : [];
  return {
    file,
    name: textOf(asObject(manifest['metadata'] ?? {}, file)['name']),
    manifest,
    sources: { manifest: file, ...(queryFile !== undefined && { query: queryFile }) },
    data: {
      file: textOf(data['file']),
      query: textOf(data['query']),
      features: features.map((feature) => String((feature as { name?: unknown }).name)),
      target: textOf(spec['target']),
    },
    lineOf: (pointer) => lineOf(document, lines, pointer),
  };
}

/** What is no text is the API's to complain about. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SlipwayError(
      'NOT_FOUND',
      `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
    );
  }
}

function asObject(value: unknown, file: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw invalid(file, [
    { file, path: '', reason: 'a manifest is a mapping with apiVersion, kind, metadata and spec' },
  ]);
}

function invalid(file: string, problems: readonly Problem[]): SlipwayError {
  return new SlipwayError(
    'INVALID_MANIFEST',
    `${file} cannot be read as a manifest; nothing of it was applied`,
    { problems },
  );
}

/** RFC 6901: the deepest node on the way that exists. */
function lineOf(document: Document, lines: LineCounter, pointer: string): number | undefined {
  const path = pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((token) => (/^\d+$/.test(token) ? Number(token) : token));
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}
