/** What the gateway says to its operator; pino's own loggers fit. */
export interface GatewayLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const NO_LOG: GatewayLog = { info() {}, warn() {}, error() {} };

/** The message with its internal detail and causes: for the log only. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const internal = 'internal' in error && typeof error.internal === 'string' ? ` (${error.internal})` : '';
  const cause = error.cause === undefined ? '' : `; because ${explain(error.cause)}`;
  return `${error.message}${internal}${cause}`;
}
