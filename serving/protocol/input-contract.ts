/** What an endpoint takes, in the form that checking a request is quickest with. */
import type { TensorName } from './tensor-datatype.ts';

/** What of a declared feature matters to a request; a `FeatureSpec` of the manifest is one. */
export interface ColumnSpec {
  readonly name: string;
  readonly min?: number;
  readonly max?: number;
  /** Its value comes from the online store, not from the request. */
  readonly online?: unknown;
}

/** A tensor that may come under its own name: one feature, or the keys of one entity. */
export type NamedInput =
  | { readonly kind: 'column'; readonly column: number; readonly tensor: TensorName }
  | { readonly kind: 'entity'; readonly tensor: TensorName };

export interface InputContract {
  /** Every column of the model, in its order. */
  readonly names: readonly string[];
  /** By column. */
  readonly mins: Float64Array;
  readonly maxs: Float64Array;
  /** Columns that the request supplies, ascending, and how errors call them. */
  readonly supplied: Int32Array;
  readonly matrix: TensorName;
  /** The request supplies every column and no key, as for most models. */
  readonly plain: boolean;
  /** Tensors with the keys that the online features are looked up by. */
  readonly entities: readonly string[];
  readonly named: ReadonlyMap<string, NamedInput>;
  readonly maxRows: number;
}

/** The tensor with every supplied column, [rows, columns]. */
export const MATRIX_NAME = 'features';

/** @param views the feature views that online columns come from; each names the entity whose key the request gives */
export function inputContract(
  features: readonly ColumnSpec[],
  maxRows: number,
  views: readonly { readonly entity: string }[] = [],
): InputContract {
  const names = features.map(({ name }) => name);
  const supplied = [...features.keys()].filter((column) => features[column]?.online === undefined);
  const entities = [...new Set(views.map(({ entity }) => entity))];
  const named = new Map<string, NamedInput>();
  for (const column of supplied) {
    const name = names[column] as string;
    named.set(name, { kind: 'column', column, tensor: { name, columns: null } });
  }
  for (const name of entities) named.set(name, { kind: 'entity', tensor: { name, columns: null } });
  return {
    names,
    mins: Float64Array.from(features, ({ min }) => min ?? -Infinity),
    maxs: Float64Array.from(features, ({ max }) => max ?? Infinity),
    supplied: Int32Array.from(supplied),
    matrix: { name: MATRIX_NAME, columns: supplied.map((column) => names[column] as string) },
    plain: supplied.length === names.length && entities.length === 0,
    entities,
    named,
    maxRows,
  };
}
