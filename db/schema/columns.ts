/** Column types that drizzle lacks, and how stored instants are written: always `timestamptz`. */
import { bigint, customType, text, timestamp } from 'drizzle-orm/pg-core';

/** PostgreSQL's range of instants; only ever compared and cut in SQL. */
export const tstzrange = customType<{ data: string }>({ dataType: () => 'tstzrange' });

export const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

/** When the database wrote the row. */
export const writtenAt = (name: string) => instant(name).notNull().defaultNow();

/** A counter: 2^53 of them is enough, and JavaScript adds them exactly. */
export const counter = (name: string) => bigint(name, { mode: 'number' });

/** `sha256:<64 hex>`; the migrations hold these columns to that form. */
export const digest = (name: string) => text(name);
