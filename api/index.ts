/**
 * The HTTP API: everything that a person or a program may ask of Slipway goes through here, and is answered by the
 * ports in `ports.ts`. It promises that no route but health is open, that the actor comes from the token and never from
 * a body, that a body with an unknown member is refused, that every error is a problem document from the one table,
 * and that the OpenAPI document is made from the schemas that the routes validate with.
 */
export { createApi } from './app.ts';
export { createApiClient } from './client.ts';
export type { ApiClient } from './client.ts';
export type { ApiPorts } from './ports.ts';
