/** Who is shed first. The order is the number: a higher class is shed later. */
import { SlipwayError } from '../../domain/errors.ts';

export const PRIORITIES = ['bulk', 'sheddable', 'default', 'critical'] as const;
export type PriorityName = (typeof PRIORITIES)[number];

export const BULK = 0;
export const SHEDDABLE = 1;
export const DEFAULT = 2;
export const CRITICAL = 3;
export type Priority = typeof BULK | typeof SHEDDABLE | typeof DEFAULT | typeof CRITICAL;

/** Share of the limit from which on a class is shed, little by little until the next one's begins. */
export const SHED_FROM: readonly number[] = [0.6, 0.75, 0.9, 1];

export function priorityName(priority: Priority): PriorityName {
  return PRIORITIES[priority];
}

/** @throws SlipwayError `INVALID_REQUEST` */
export function parsePriority(value: string | undefined): Priority {
  switch (value) {
    case undefined:
    case 'default':
      return DEFAULT;
    case 'critical':
      return CRITICAL;
    case 'sheddable':
      return SHEDDABLE;
    case 'bulk':
      return BULK;
    default:
      throw new SlipwayError(
        'INVALID_REQUEST',
        `x-priority must be critical, default, sheddable or bulk, not ${JSON.stringify(value.slice(0, 40))}`,
      );
  }
}

/** The V2 parameter: 1 is the highest, 0 says nothing; beyond the four classes is the lowest. */
export function priorityOfParameter(parameter: number): Priority {
  if (parameter === 0 || parameter === 1) return CRITICAL;
  if (parameter === 2) return DEFAULT;
  return parameter === 3 ? SHEDDABLE : BULK;
}
