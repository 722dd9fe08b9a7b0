/**
 * Trainers: programs that make a model from a dataset snapshot, and the launcher that runs one as a process of this
 * machine.
 *
 * Promises: a trainer never outlives its launcher, whatever kills it; a job that is started again goes on at its last
 * checkpoint; only outputs that keep the contract (`docs/reference/trainer-contract.md`) are handed on; the Python
 * environment is made once per set of pinned packages, whole or not at all.
 *
 * A new trainer is a folder with a `trainer.json`; nothing else has to be told about it.
 */
export { launchTrainer } from './process-launcher.ts';
export type { LaunchOptions, LaunchedTraining } from './process-launcher.ts';
export { ensurePythonEnvironment } from './python-environment.ts';
export type { PythonEnvironment, PythonEnvironmentOptions } from './python-environment.ts';
export { findTrainer, readTrainers, trainerCodeDigest, trainerCommand } from './registry.ts';
export type { Trainer } from './registry.ts';
