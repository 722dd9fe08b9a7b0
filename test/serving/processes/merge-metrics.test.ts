import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { mergeMetrics } from '../../../serving/processes/merge-metrics.ts';

const PAGE = `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 3
requests_total 1
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{le="1"} 2
seconds_bucket{le="+Inf"} 2
seconds_sum 1.5
seconds_count 2
`;

describe('merged metrics', () => {
  it('keep every sample, under the process that it came from, with each family in one piece', () => {
    const merged = mergeMetrics([
      { process: '0', text: PAGE },
      { process: '1', text: PAGE },
    ]);
    assert.equal(
      merged,
      `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{process="0",code="200"} 3
requests_total{process="0"} 1
requests_total{process="1",code="200"} 3
requests_total{process="1"} 1
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{process="0",le="1"} 2
seconds_bucket{process="0",le="+Inf"} 2
seconds_sum{process="0"} 1.5
seconds_count{process="0"} 2
seconds_bucket{process="1",le="1"} 2
seconds_bucket{process="1",le="+Inf"} 2
seconds_sum{process="1"} 1.5
seconds_count{process="1"} 2
# HELP slipway_gateway_process_up 1 when the process answered this scrape.
# TYPE slipway_gateway_process_up gauge
slipway_gateway_process_up{process="0"} 1
slipway_gateway_process_up{process="1"} 1
`,
    );
  });

  it('show a process that did not answer as down, and the others all the same', () => {
    const merged = mergeMetrics([
      { process: '0', text: null },
      { process: '1', text: 'up_to_date 1\n' },
    ]);
    assert.match(merged, /^slipway_gateway_process_up\{process="0"\} 0$/m);
    assert.match(merged, /^up_to_date\{process="1"\} 1$/m);
  });

  it('rename a label that has the same name, and are not misled by what stands in a value', () => {
    const text =
      'a{process="x"} 1\nb{path="/process=1,}",process="y"} 2\nc{note="process=\\"z\\""} 3\nd{} 4\n';
    const lines = mergeMetrics([{ process: '7', text }]).split('\n');
    assert.deepEqual(lines.slice(0, 4), [
      'a{process="7",exported_process="x"} 1',
      'b{process="7",path="/process=1,}",exported_process="y"} 2',
      'c{process="7",note="process=\\"z\\""} 3',
      'd{process="7"} 4',
    ]);
  });

  it('lose no sample and repeat no family, whatever the labels hold', () => {
    const value = fc
      .string()
      .map((text) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n'));
    const sample = fc.record({ name: fc.constantFrom('a', 'b_total', 'c_sum'), value, count: fc.nat() });
    fc.assert(
      fc.property(fc.array(fc.array(sample), { minLength: 1, maxLength: 4 }), (pages) => {
        const texts = pages.map((page) =>
          ['# TYPE a gauge', ...page.map((one) => `${one.name}{k="${one.value}"} ${one.count}`)].join('\n'),
        );
        const merged = mergeMetrics(texts.map((text, i) => ({ process: String(i), text })));
        for (const [i, page] of pages.entries()) {
          for (const { name, value: label, count } of page) {
            assert.ok(merged.split('\n').includes(`${name}{process="${i}",k="${label}"} ${count}`));
          }
        }
        assert.equal(merged.match(/^# TYPE a gauge$/gm)?.length, 1);
      }),
    );
  });
});
