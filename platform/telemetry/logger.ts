/** JSON logs, one object a line, each with the ids of the trace that it was written in. */
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { pino } from 'pino';
import type { Logger } from 'pino';

export type { Logger } from 'pino';

export function createLogger(service: string, level: string): Logger {
  return pino({
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    // Tokens and passwords have no business in a log; these are the places where they could come from.
    redact: ['req.headers.authorization', 'authorization', 'token', 'databaseUrl', 'password'],
    mixin: traceIds,
  });
}

function traceIds(): Record<string, string> {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || !isSpanContextValid(context)) return {};
  return { trace_id: context.traceId, span_id: context.spanId };
}
