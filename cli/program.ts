/** The commands of `slipway`, over a context that tests can give. */
import { Command } from 'commander';

import { applyCommand } from './commands/apply.ts';
import { auditCommands } from './commands/audit.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { experimentCommands } from './commands/experiment.ts';
import { gatewayCommand } from './commands/gateway.ts';
import { modelCommands } from './commands/model.ts';
import { predictionCommands } from './commands/predictions.ts';
import { releaseCommands } from './commands/release.ts';
import { upCommand } from './commands/up.ts';
import { versionCommands } from './commands/version.ts';
import type { CliContext } from './context.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';

export function createProgram(context: CliContext, version: string): Command {
  const program = new Command('slipway')
    .description('Releases machine-learning models: proven safe, undone in seconds.')
    .version(version)
    .helpCommand(false)
    .showSuggestionAfterError()
    .showHelpAfterError('`slipway <command> --help` shows what it takes, with examples.')
    .exitOverride()
    .addHelpText(
      'after',
      `
Examples:
  slipway demo
  slipway up
  slipway apply -f examples/elec2
  slipway release elec2 --wait
  slipway approve elec2/1
  slipway rollback elec2
${EXIT_CODES_HELP}`,
    );
  upCommand(program, context);
  demoCommand(program, context);
  gatewayCommand(program, context);
  applyCommand(program, context);
  releaseCommands(program, context);
  modelCommands(program, context);
  experimentCommands(program, context);
  versionCommands(program, context);
  auditCommands(program, context);
  predictionCommands(program, context);
  doctorCommand(program, context);
  return program;
}
