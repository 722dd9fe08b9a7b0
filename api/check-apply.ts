/** From the body of an apply request to a manifest, or one refusal that lists everything wrong with it. */
import { isAbsolute } from 'node:path';

import type { Problem } from '../domain/errors.ts';
import { SlipwayError } from '../domain/errors.ts';
import { checkManifest } from '../domain/manifest/check-manifest.ts';
import { isWithin } from '../domain/manifest/json-pointer.ts';
import type { ManifestDocument } from '../domain/manifest/manifest-document.ts';
import type { ModelManifest } from '../domain/manifest/model-manifest.ts';
import { parseManifest } from '../domain/manifest/parse-manifest.ts';
import { gateProblem } from '../platform/gates.ts';
import type { DataFiles } from './ports.ts';

export interface ApplyInput {
  readonly name: string;
  readonly manifest: ManifestDocument;
  /** What the schema found, relative to the manifest. */
  readonly shape: readonly Problem[];
  /** File that the manifest was read from, for messages. */
  readonly file: string | undefined;
}

export interface ApplyContext {
  readonly trainers: readonly string[];
  readonly dataFiles: DataFiles;
}

/** @throws SlipwayError INVALID_MANIFEST with every problem, each with its file and JSON pointer. */
export async function checkApply(input: ApplyInput, context: ApplyContext): Promise<ModelManifest> {
  const { manifest, shape } = input;
  const rules = checkManifest(
    manifest,
    { trainers: context.trainers, gateProblem, isAbsolutePath: isAbsolute },
    shape,
  );
  const problems = [...shape, ...rules];
  const sound = (path: string): boolean =>
    problems.every((problem) => !isWithin(problem.path, path) && !isWithin(path, problem.path));
  if (sound('/metadata/name') && manifest.metadata.name !== input.name) {
    problems.push({ path: '/metadata/name', reason: `is not ${input.name}, the name in the path` });
  }
  if (sound('/spec/data/file') && !(await context.dataFiles.exists(manifest.spec.data.file))) {
    problems.push({ path: '/spec/data/file', reason: 'there is no such file' });
  }
  if (problems.length > 0) throw refusal(input, problems);
  return parseManifest(manifest);
}

function refusal({ name, file }: ApplyInput, problems: readonly Problem[]): SlipwayError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new SlipwayError(
    'INVALID_MANIFEST',
    `${file ?? `the manifest of ${name}`} has ${count}; nothing of it was applied`,
    { problems: problems.map((problem) => (file === undefined ? problem : { file, ...problem })) },
  );
}
