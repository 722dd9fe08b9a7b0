import { strict as assert } from 'node:assert';
import { describe, it } from 'mocha';

import { parseDuration } from '../../../domain/manifest/duration.ts';

describe('durations in a manifest', () => {
  it('mean what they say', () => {
    const cases = { '500ms': 0.5, '0s': 0, '30s': 30, '15m': 900, '24h': 86_400, '7d': 604_800 };
    for (const [text, seconds] of Object.entries(cases)) assert.equal(parseDuration(text), seconds, text);
  });

  it('nothing else is a duration', () => {
    const wrong = [
      '',
      '30',
      's',
      '1h30m',
      '-5s',
      '1.5h',
      ' 5s',
      '5 s',
      '5S',
      '05s',
      '1e3s',
      '5sec',
      '٣s',
      'PT5S',
    ];
    for (const text of wrong) assert.equal(parseDuration(text), undefined, text);
  });
});
