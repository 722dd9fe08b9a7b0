/**
 * The file format of the prediction log: binary columnar segments, `docs/reference/prediction-log.md` byte by byte.
 *
 * Promises: every block stands for itself (its own dictionaries, a CRC over all of it), so that whatever a crash leaves
 * at the end of a file is told from data and ignored; a file of another format or version is refused, never guessed at.
 * Here because the gateway writes it, `data/` exports it and the command line lists it.
 */
export { sealBlock } from './block.ts';
export {
  segmentFileName,
  parseSegmentFileName,
  endpointFolderName,
  listSegmentFiles,
} from './segment-files.ts';
export { readSegments, newReadReport } from './read-segments.ts';
export type { ReadReport, SegmentBlock } from './read-segments.ts';
export { valuesOf } from './column-values.ts';
export type { ColumnValue } from './column-values.ts';
export { NONE, WIDTHS, encodeSegmentHeader } from './segment-schema.ts';
export type { SegmentColumn } from './segment-schema.ts';
export { BLOCK_HEADER_BYTES, align } from './block.ts';
