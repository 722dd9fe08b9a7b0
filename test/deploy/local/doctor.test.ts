import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'mocha';

import { atLeast, diagnose } from '../../../deploy/local/doctor.ts';
import { stackPaths } from '../../../platform/config.ts';
import { temporaryHome } from '../../support/stack.ts';

describe('doctor', () => {
  it('looks at every part that the stack needs and gives advice exactly where something is wrong', async () => {
    const folder = temporaryHome();
    try {
      const findings = await diagnose({
        paths: { home: join(folder, 'home'), cacheFolder: stackPaths().cacheFolder },
        external: {
          databaseUrl: undefined,
          temporalAddress: undefined,
          namespace: 'default',
          python: join(folder, 'no-python'),
        },
      });
      assert.deepEqual(
        findings.map(({ check }) => check),
        [
          'Node.js',
          'npm',
          'Temporal',
          'Go',
          'PostgreSQL',
          'Python',
          'ONNX Runtime',
          'home',
          'cache folder',
          'ports',
          'stack',
        ],
      );
      for (const { ok, advice, check } of findings) assert.equal(advice === '', ok, check);
      const wrong = findings.filter(({ ok }) => !ok).map(({ check }) => check);
      assert.deepEqual(wrong, ['Python']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('compares versions as numbers', () => {
    assert.equal(atLeast('Python 3.9.18', [3, 10]), false);
    assert.equal(atLeast('Python 3.10.0', [3, 10]), true);
    assert.equal(atLeast('20.19.0', [20, 19]), true);
    assert.equal(atLeast('20.9.0', [20, 19]), false);
    assert.equal(atLeast('22.0.0', [20, 19]), true);
  });
});
