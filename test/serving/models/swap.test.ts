import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { GatewayFixture, eventually, linear } from '../gateway-fixture.ts';
import type { Client } from '../gateway-fixture.ts';

describe('swapping the champion under load', () => {
  let fixture: GatewayFixture;

  beforeEach(async () => {
    fixture = await GatewayFixture.create();
  });
  afterEach(() => fixture.remove());

  const BIAS = { linear: 0.1, shifted: 1.5 } as const;

  /** Each answer has the scores of the version that it names, and the first answer of a version ends the former one. */
  async function swaps(client: Client, inline: boolean): Promise<void> {
    const biases = new Map<string, number>();
    const seen: string[] = [];
    const stopping = new AbortController();
    const caller = async (): Promise<void> => {
      for (let i = 0; !stopping.signal.aborted; i += 1) {
        const { status, body } = await client.predict([i % 5, 2, 3]);
        assert.equal(status, 200, body.error);
        const score = body.outputs.find(({ name }) => name === 'score')!.data[0]!;
        const bias = biases.get(body.model_version);
        assert.ok(bias !== undefined, `answered by ${body.model_version}`);
        assert.ok(
          Math.abs(score - linear([i % 5, 2, 3], bias)) < 1e-6,
          'the score of the version that it names',
        );
        seen.push(body.model_version);
      }
    };
    const first = await client.predict();
    biases.set(first.body.model_version, BIAS.linear);
    const callers = Promise.all(Array.from({ length: 8 }, caller));
    for (let swap = 0; swap < 4; swap += 1) {
      const model = swap % 2 === 0 ? 'shifted' : 'linear';
      const champion = await fixture.version(model, { note: `${inline} ${swap}` });
      biases.set(champion.digest, BIAS[model]);
      const generation = fixture.control.route({ champion });
      await eventually(() => fixture.control.lastAck?.generation === generation, 'the new route is applied');
      const from = seen.length;
      await eventually(() => seen.length > from + 30, 'answers go on');
      // Requests that were under way at the flip may still be of the former one; none after that is.
      assert.deepEqual([...new Set(seen.slice(from + 16))], [champion.digest]);
    }
    stopping.abort();
    await callers;
    assert.equal(new Set(seen).size, 5, 'every champion has answered');
  }

  it('fails no request, and each answer is of the version that it names: on the event loop', async () => {
    const { client } = await fixture.startServing({ settings: { inlineCreateMs: 1000, inlineRunMs: 1000 } });
    await swaps(client, true);
  });

  it('fails no request, and each answer is of the version that it names: in threads', async () => {
    const { client } = await fixture.startServing({ settings: { inlineCreateMs: 0 } });
    await swaps(client, false);
  });
});
