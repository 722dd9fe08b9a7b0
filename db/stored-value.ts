/** Reading back what was stored: an unknown value is an error, never a default. */
import { SlipwayError } from '../domain/errors.ts';

export function storedChoice<T extends string>(choices: readonly T[], value: string, column: string): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) {
    throw new SlipwayError(
      'INTERNAL',
      `the registry holds an unknown value in ${column}; is this an older Slipway?`,
      {
        internal: `${column} = ${JSON.stringify(value)}`,
      },
    );
  }
  return found;
}

export function storedValue<T>(value: T | null | undefined, column: string): T {
  if (value === null || value === undefined) {
    throw new SlipwayError('INTERNAL', `the registry holds no value in ${column}`);
  }
  return value;
}

/** As it will come back from `jsonb`: absent members are absent, not `undefined`. */
export function asStored<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
