/** Whether a model has the tensors that the gateway serves, that its descriptor promises and that callers send. */
import { SlipwayError } from '../../domain/errors.ts';
import type { TensorSignature } from '../../domain/registry/model-version.ts';
import { servedTensors, tensorProblem } from '../../domain/registry/served-tensors.ts';

/** @throws SlipwayError `MODEL_LOAD_FAILED` that names the tensor. */
export function checkTensors(actual: TensorSignature, promised: TensorSignature, features: number): void {
  compare('the signed descriptor', actual, promised);
  compare(`an endpoint of ${features} features`, actual, servedTensors(features));
}

function compare(whose: string, actual: TensorSignature, wanted: TensorSignature): void {
  const problem = tensorProblem(actual, wanted);
  if (problem !== null)
    throw new SlipwayError('MODEL_LOAD_FAILED', `the model does not fit ${whose}: ${problem}`);
}
