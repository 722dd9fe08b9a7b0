/**
 * Bearer tokens. Every route needs one but health: the check is a hook of the whole application, and a route is open
 * only when it says so itself, so a forgotten line closes a route instead of opening it.
 *
 * Of a token only the SHA-256 is stored and looked up. It has 256 random bits, so a slow hash would protect nothing,
 * and how long the look-up of a hash takes tells nothing about the token that it was made from.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { SlipwayError } from '../domain/errors.ts';
import type { Actor, Role, TokenStore } from './ports.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers without a token. */
    open?: boolean;
  }
  interface FastifyRequest {
    actor: Actor | null;
  }
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{16,256}=*)$/i;

/** @throws SlipwayError UNAUTHENTICATED */
export async function authenticate(header: string | undefined, tokens: TokenStore): Promise<Actor> {
  if (header === undefined) {
    throw new SlipwayError('UNAUTHENTICATED', 'send the header `Authorization: Bearer <token>`');
  }
  const token = BEARER.exec(header)?.[1];
  const holder = token === undefined ? null : await tokens.find(token);
  if (holder === null) {
    throw new SlipwayError(
      'UNAUTHENTICATED',
      'this token is not known; take one from the token file of the stack',
    );
  }
  return holder;
}

/** Refuses every request without a valid token, also those for paths that do not exist. */
export function guardAllRoutes(app: FastifyInstance, tokens: TokenStore): void {
  app.decorateRequest('actor', null);
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.open === true) return;
    request.actor = await authenticate(request.headers.authorization, tokens);
  });
}

/** Who sent this request. Only behind the guard. */
export function actorOf(request: FastifyRequest): Actor {
  if (request.actor === null) throw new SlipwayError('UNAUTHENTICATED', 'this route needs a token');
  return request.actor;
}

/** @throws SlipwayError FORBIDDEN */
export function requireRole(request: FastifyRequest, ...roles: readonly Role[]): Actor {
  const actor = actorOf(request);
  if (!roles.includes(actor.role)) {
    throw new SlipwayError(
      'FORBIDDEN',
      `this needs the role ${roles.join(' or ')}; ${actor.actor} is ${actor.role}`,
    );
  }
  return actor;
}
