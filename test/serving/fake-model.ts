/** A loaded version as routing and shadow see it, with a run of the test's own. */
import { CostModel } from '../../serving/batching/cost-model.ts';
import type { BatchedModel } from '../../serving/batching/batched-model.ts';
import type { Placement } from '../../serving/metrics.ts';
import type { ModelOutput } from '../../serving/models/model-session.ts';
import { ModelStatistics } from '../../serving/statistics.ts';

export function fakeModel(
  run: (features: Float32Array, rows: number) => Promise<ModelOutput>,
  placement: Placement = 'inline',
): BatchedModel {
  return {
    placement,
    statistics: new ModelStatistics(),
    cost: new CostModel(),
    noiseFloor: 0,
    waitingRows: 0,
    waitingRequests: 0,
    predictMs: () => 0,
    run,
    retire: () => Promise.resolve(),
  };
}
