import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'mocha';

import { SlipwayError } from '../../domain/errors.ts';
import { CONFIG_KEYS } from '../../platform/config-keys.ts';
import type { ConfigKey } from '../../platform/config-keys.ts';
import {
  apiConfig,
  databaseConfig,
  gatewayConfig,
  inheritedEnvironment,
  readConfig,
  stackPaths,
  telemetryConfig,
  temporalConfig,
  workerConfig,
} from '../../platform/config.ts';
import { projectRoot } from '../../platform/root.ts';

const DATABASE_URL = 'postgresql://u:p@127.0.0.1:5433/slipway';
const FULL = { DATABASE_URL, TEMPORAL_ADDRESS: '127.0.0.1:7233', SLIPWAY_HOME: '/data/slipway' };

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SlipwayError);
    assert.equal(error.code, 'CONFIG_INVALID');
    return error.problems.map(({ path, reason }) => `${path} ${reason}`);
  }
  return [];
}

describe('configuration', () => {
  it('reports every problem of a process together, missing and wrong ones', () => {
    const env = {
      SLIPWAY_GATEWAY_PORT: '70000',
      SLIPWAY_GATEWAY_FLUSH_MS: '1s',
      SLIPWAY_WATCH_PARENT: 'maybe',
    };
    const problems = problemsOf(() => gatewayConfig(env));
    assert.deepEqual(problems.toSorted(), [
      '/DATABASE_URL must be set',
      '/SLIPWAY_GATEWAY_FLUSH_MS must be a whole number from 50 to 60000, not "1s"',
      '/SLIPWAY_GATEWAY_PORT must be a whole number from 1 to 65535, not "70000"',
      '/SLIPWAY_WATCH_PARENT must be 1, true, 0 or false, not "maybe"',
    ]);
  });

  it('does not repeat the value of a URL, which holds a password', () => {
    const env = { DATABASE_URL: 'secret-without-scheme' };
    assert.throws(
      () => databaseConfig(env),
      (error: Error) => !error.message.includes('secret'),
    );
  });

  it('refuses what is not one of the choices, an address without a port, and a number with a tail', () => {
    assert.equal(problemsOf(() => telemetryConfig({ SLIPWAY_LOG_LEVEL: 'loud' })).length, 1);
    assert.equal(problemsOf(() => temporalConfig({ TEMPORAL_ADDRESS: 'localhost' })).length, 1);
    assert.equal(
      problemsOf(() => readConfig({ port: 'SLIPWAY_API_PORT' }, { SLIPWAY_API_PORT: '8300x' })).length,
      1,
    );
  });

  it('takes an empty variable for one that is not set', () => {
    assert.equal(readConfig({ port: 'SLIPWAY_API_PORT' }, { SLIPWAY_API_PORT: ' ' }).port, 8300);
    assert.deepEqual(
      problemsOf(() => databaseConfig({ DATABASE_URL: '' })),
      ['/DATABASE_URL must be set'],
    );
  });

  it('gives each process what it needs, frozen', () => {
    const gateway = gatewayConfig({ ...FULL, SLIPWAY_GATEWAY_PORT: '9001', SLIPWAY_WATCH_PARENT: 'TRUE' });
    assert.ok(Object.isFrozen(gateway));
    assert.match(gateway.gatewayId, /:9001$/);
    assert.deepEqual(
      { port: gateway.port, flushMs: gateway.flushMs, home: gateway.home, watchParent: gateway.watchParent },
      { port: 9001, flushMs: 1000, home: '/data/slipway', watchParent: true },
    );
    assert.equal(apiConfig(FULL).namespace, 'default');
    assert.equal(workerConfig(FULL).slotsTrain, 1);
    assert.equal(telemetryConfig({}).otlpEndpoint, undefined);
  });

  it('finds the home at or above the current folder, and the cache by the convention of the system', () => {
    assert.equal(stackPaths({ SLIPWAY_HOME: '/a' }).home, '/a');
    assert.equal(stackPaths({ XDG_CACHE_HOME: '/c' }).cacheFolder, '/c/slipway');
    assert.equal(stackPaths({ SLIPWAY_CACHE: '/d', XDG_CACHE_HOME: '/c' }).cacheFolder, '/d');
    assert.match(stackPaths({}).home, /\.slipway$/);
  });

  it('hands children the environment with changes, without what was removed', () => {
    const env = inheritedEnvironment({ SLIPWAY_HOME: '/b', PATH: undefined });
    assert.equal(env.SLIPWAY_HOME, '/b');
    assert.equal('PATH' in env, false);
  });

  it('is documented key by key: name, default and meaning', () => {
    const document = readFileSync(join(projectRoot(), 'docs', 'reference', 'configuration.md'), 'utf8');
    const documented = document.split('\n').filter((line) => line.startsWith('| `'));
    const expected = Object.entries<ConfigKey>(CONFIG_KEYS).map(([name, key]) => {
      const fallback =
        key.default === undefined ? (key.defaultText ?? 'not set') : `\`${String(key.default)}\``;
      return `| \`${name}\` | ${key.type} | ${fallback} | ${key.meaning} |`;
    });
    assert.deepEqual(documented.toSorted(), expected.toSorted());
  });

  it('is read from the environment in one file only', () => {
    const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], {
      cwd: projectRoot(),
      encoding: 'utf8',
    });
    const readers = sources
      .split('\n')
      .filter((path) => path !== '' && !path.startsWith('test/'))
      .filter((path) => readFileSync(join(projectRoot(), path), 'utf8').includes('process.env'));
    assert.deepEqual(readers, ['platform/config.ts']);
  });
});
