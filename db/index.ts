/**
 * The registry: everything that Slipway keeps in PostgreSQL, one repository per aggregate.
 *
 * Promises, each held by a test:
 * - Every call is one transaction that is safe to repeat: the same call twice leaves one effect.
 * - A route has one generation after the other; what was read before someone else wrote is refused, and an epoch that
 *   was overtaken writes nothing (`route-change.ts`).
 * - What is insert-only is so in the database itself, by triggers and not by good manners; so are "one champion per
 *   endpoint at any instant" and "a lease only grows within a generation" (`migrations/0001_integrity.sql`).
 * - Each decision leaves an audit row in its own transaction. Measurements (windows, predictions, labels), heartbeats,
 *   leases, epochs and cached training results leave none: they decide nothing by themselves.
 * - An unknown stored value is an error, never a default.
 */
export { createAliasStore } from './aliases.ts';
export type { Alias, AliasStore } from './aliases.ts';
export { createAuditLog, SYSTEM_STREAM } from './audit.ts';
export type { AuditLog } from './audit.ts';
export type { AuditReport, BadRow, OpenEnvelope } from './audit-verify.ts';
export { openDatabase } from './database.ts';
export type { Database, DatabaseOptions } from './database.ts';
export { createExperimentRegistry } from './experiments.ts';
export type { ExperimentRegistry } from './experiments.ts';
export { createRewardSink } from './rewards.ts';
export { createEvidenceSink, createEvidenceStore } from './evidence.ts';
export type { LabelReceipt, LabelSink } from './evidence.ts';
export { createGatewayRegistry, createRouteFeed } from './gateway-feed.ts';
export { CHANNELS, listen } from './listen.ts';
export type { Channel, Listener, Notification } from './listen.ts';
export { migrate } from './migrate.ts';
export { createModelStore } from './models.ts';
export type { AppliedManifest, Model, ModelStore } from './models.ts';
export { createNotifications } from './notifications.ts';
export type { Notifications } from './notifications.ts';
export { createOnlineFeatureWriter, createOnlineStore } from './online-features.ts';
export { createReleaseRegistry } from './releases.ts';
export type { ReleaseRegistry, ReleaseRequest } from './releases.ts';
export { createRouteRegistry } from './routes.ts';
export type { RouteHistoryEntry } from './route-history.ts';
export type { RouteRegistry } from './routes.ts';
export { createTokenStore, ROLES } from './tokens.ts';
export type { Role, TokenHolder, TokenStore } from './tokens.ts';
export { createTrainingCache } from './training-results.ts';
export { createVersionRegistry } from './versions.ts';
export type { RegisteredVersion, Revocation, VersionRegistry } from './versions.ts';
