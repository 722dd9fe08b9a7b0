/**
 * Training as the domain sees it: the job, the events and the outputs of the trainer contract, and the parameters of a
 * trainer. Owns every rule about them; reads no file and starts nothing.
 */
export { checkTrainerOutput, parseEvent, OUTPUT_FILES, TRAINER_CONTRACT, TRAINER_EXIT } from './job.ts';
export type { TrainerEvent, TrainerJob, TrainerOutput, TrainerResult } from './job.ts';
export { checkDescriptor, resolveParameters } from './parameters.ts';
export type { ParameterRule, TrainerDescriptor } from './parameters.ts';
