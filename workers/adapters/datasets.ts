/** Dataset snapshots in the blob store. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetStore } from '../../activities/training-ports.ts';
import { createSnapshot, readPredictions, readRows } from '../../data/index.ts';
import { SlipwayError } from '../../domain/errors.ts';
import type { BlobStore } from '../../platform/blobs.ts';

export function createDatasetStore(blobs: BlobStore, workFolder: string): DatasetStore {
  return {
    async snapshot({ data, features, target }, parameters) {
      const trainBefore = parameters['train_before'] ?? data.trainBefore;
      if (trainBefore !== undefined && typeof trainBefore !== 'string') {
        throw new SlipwayError(
          'INVALID_PARAMETER',
          'train_before must be an instant such as 1997-05-01T00:00:00Z',
        );
      }
      const output = join(workFolder, `snapshot-${randomUUID()}.parquet`);
      try {
        const { digest, source, rows, firstEventMs, lastEventMs } = await createSnapshot({
          file: data.file,
          query: data.query,
          features: features.map(({ name }) => name),
          target,
          output,
          ...(trainBefore === undefined ? {} : { trainBefore }),
        });
        await blobs.put({ path: output });
        return { digest, source, rows, firstEventMs, lastEventMs };
      } finally {
        await rm(output, { force: true });
      }
    },

    async rows(snapshotDigest, features, target, rowNumbers) {
      const all = await readRows(blobs.pathOf(snapshotDigest), features, target);
      const indexOf = new Map<number, number>();
      all.rowNumbers.forEach((row, index) => indexOf.set(row, index));
      const width = features.length;
      const values = new Float32Array(rowNumbers.length * width);
      const labels = new Uint8Array(rowNumbers.length);
      rowNumbers.forEach((row, i) => {
        const index = indexOf.get(row);
        if (index === undefined)
          throw new SlipwayError('DATA_INVALID', `row ${row} is not in snapshot ${snapshotDigest}`);
        values.set(all.values.subarray(index * width, (index + 1) * width), i * width);
        labels[i] = all.labels[index]!;
      });
      return { rowNumbers, values, labels };
    },

    async heldOut(predictionsDigest, width) {
      const { rowNumbers, values, labels, scores } = await readPredictions(
        blobs.pathOf(predictionsDigest),
        width,
      );
      return { rowNumbers, values, labels, scores };
    },
  };
}
