/**
 * The story of the demo, chapter by chapter, on a real stack: given an empty registry and the Elec2 data, when releases
 * that are good and bad in different ways are submitted, then each ends as promised.
 */
import { strict as assert } from 'node:assert';
import { rmSync } from 'node:fs';
import { after, before, describe, it } from 'mocha';
import { freshStack, storyContext } from '../../cli/demo/demo-stack.ts';
import { CHAPTERS } from '../../cli/demo/story.ts';
import type { StoryContext } from '../../cli/demo/story.ts';
import type { RunningStack } from '../../deploy/local/index.ts';
import { openCollector } from '../support/trace-collector.ts';
import type { Collector } from '../support/trace-collector.ts';
import { printProgress, temporaryHome } from '../support/stack.ts';

describe('the story of a model', function () {
  this.timeout(240_000);
  const home = temporaryHome();
  const told: string[] = [];
  let stack: RunningStack;
  let story: StoryContext;
  let broken = false;
  let collector: Collector;

  before(async function () {
    this.timeout(900_000);
    collector = await openCollector();
    // The stack's processes inherit it.
    process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.url;
    stack = await freshStack(home, printProgress);
    story = await storyContext(stack, (line) => told.push(line));
  });

  after(async () => {
    await story.replay.stop();
    await stack.stop();
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT'];
    await collector.close();
    rmSync(home, { recursive: true, force: true });
  });

  for (const { title, play } of CHAPTERS) {
    it(title, async () => {
      assert.ok(!broken, 'an earlier chapter did not happen');
      broken = true;
      try {
        await play(story);
      } catch (error) {
        throw new Error(`${String(error)}\n${told.slice(-25).join('\n')}`, { cause: error });
      }
      broken = false;
    });
  }

  it('the faulty canary was undone within ten seconds, with at most fifteen bad answers', () => {
    const { canary } = story.facts;
    assert.ok(canary !== undefined);
    assert.ok(canary.faultToRolledBackSeconds <= 10, `${canary.faultToRolledBackSeconds} s`);
    assert.ok(canary.badAnswers <= 15, `${canary.badAnswers} bad answers`);
  });

  it('one trace leads from the request of a release to its workflow and its activities', async () => {
    const request = await collector.find(
      ({ service, name }) => service === 'slipway-api' && name === 'POST /v1/releases',
    );
    for (const wanted of [/StartWorkflow/, /RunWorkflow/, /RunActivity/]) {
      const span = await collector.find(({ trace, name }) => trace === request.trace && wanted.test(name));
      assert.notEqual(span.id, request.id);
    }
    await collector.find(({ service, name }) => service === 'slipway-gateway' && name === 'infer');
  });
});
