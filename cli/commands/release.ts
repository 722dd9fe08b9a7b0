/** `slipway release` and what people say to a release on its way. */
import type { Command } from 'commander';

import { SlipwayError } from '../../domain/errors.ts';
import type { ParameterValue } from '../../domain/manifest/model-manifest.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { followRelease } from '../follow-release.ts';
import { asOption, jsonOption, modelName, parameter, reasonOption, releaseId } from '../options.ts';
import { withProgress } from '../progress.ts';

interface ReleaseOptions {
  readonly param?: Readonly<Record<string, ParameterValue>>;
  readonly shadow: boolean;
  readonly wait?: true;
  readonly as: string;
  readonly json?: true;
}

export function releaseCommands(program: Command, context: CliContext): void {
  const { output, connect, exit } = context;
  program
    .command('release')
    .description('start a release of a model as it is declared now')
    .argument('<model>', 'name of the model', modelName)
    .option('--param <k=v>', 'set a parameter of the release; may be given again', parameter)
    .option('--no-shadow', 'leave the shadow step out')
    .option('--wait', 'follow the release to its end; exit code 5 when it is not promoted')
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway release elec2\n  slipway release elec2 --param trees=200 --param \'features=["nswprice"]\' --wait\n  slipway release elec2 --param train_before=1998-01-01T00:00:00Z --no-shadow',
    )
    .action(async (model: string, { param = {}, shadow, wait, as, json }: ReleaseOptions) => {
      const client = await connect(as);
      const work = client.createRelease({ model, parameters: param, skipShadow: !shadow });
      const accepted = await withProgress(output, () => 'starting the release', work);
      const { release, started } = accepted;
      if (wait === undefined) {
        if (json) return output.json(accepted);
        output.line(
          `release ${release.id} ${started ? 'is on its way' : 'is kept, and starts as soon as Temporal answers'}`,
        );
        return output.line(
          `Next: slipway status ${model}, and slipway approve ${release.id} when it asks for it`,
        );
      }
      output.remark(`release ${release.id} is on its way`);
      const ended = await followRelease(client, release.id, output, json === undefined);
      if (json) output.json(ended);
      else
        output.line(
          `release ${release.id}: ${ended.release.outcome ?? 'running'}${because(ended.release.reason)}`,
        );
      if (ended.release.outcome !== 'promoted') exit(EXIT.notPromoted);
    });

  decisionCommands(program, context);
  operatorCommands(program, context);
}

function decisionCommands(program: Command, { output, connect }: CliContext): void {
  for (const decision of ['approve', 'reject'] as const) {
    program
      .command(decision)
      .description(`${decision} the version that a release has under review, named by its digest`)
      .argument('<release>', 'id of the release, e.g. elec2/4', releaseId)
      .addOption(asOption('approver'))
      .option('--comment <text>', 'what you looked at', '')
      .option(
        '--digest <digest>',
        'the digest that you looked at; refused when another is under review by now',
      )
      .addOption(jsonOption())
      .addHelpText(
        'after',
        `\nExamples:\n  slipway ${decision} elec2/4 --comment "looked at the slices"\n  slipway ${decision} elec2/4 --as second-approver`,
      )
      .action(async (id: string, options: { as: string; comment: string; digest?: string; json?: true }) => {
        const client = await connect(options.as);
        const { release, live } = await client.release(id);
        const digest = options.digest ?? live?.candidate ?? release.candidate;
        if (digest === null) {
          throw new SlipwayError(
            'WRONG_PHASE',
            `${id} is in phase ${release.phase}; there is nothing to review yet`,
          );
        }
        if (options.json === undefined) {
          output.line(`under review: ${digest}`);
          output.line(`submitted by: ${release.submittedBy}`);
        }
        const work = client.decide(id, decision, { digest, comment: options.comment });
        const answer = await withProgress(output, () => `${decision} ${id}`, work);
        if (options.json) return output.json({ release: id, digest, decision, ...answer });
        output.line(
          `${decision === 'approve' ? 'approved' : 'rejected'}: ${answer.approved} of ${answer.needed} approvals`,
        );
      });
  }
}

function operatorCommands(program: Command, { output, connect }: CliContext): void {
  const commands = [
    { name: 'pause', description: 'hold a rollout at its present step', done: 'is paused' },
    {
      name: 'resume',
      description: 'go on with a rollout that is paused or asks what to do',
      done: 'goes on',
    },
    {
      name: 'abort',
      description: 'end a release; the champion serves',
      done: 'is being aborted; the champion serves',
    },
  ] as const;
  for (const { name, description, done } of commands) {
    program
      .command(name)
      .description(description)
      .argument('<release>', 'id of the release, e.g. elec2/4', releaseId)
      .addOption(asOption('engineer'))
      .addOption(reasonOption(`${name} from the command line`))
      .addOption(jsonOption())
      .addHelpText('after', `\nExample:\n  slipway ${name} elec2/4 --reason "on-call asked for it"`)
      .action(async (id: string, { as, reason, json }: { as: string; reason: string; json?: true }) => {
        const client = await connect(as);
        await withProgress(output, () => `${name} ${id}`, client.command(id, name, reason));
        if (json) output.json({ release: id, command: name, done: true });
        else output.line(`release ${id} ${done}`);
      });
  }
}

const because = (reason: string | null): string =>
  reason === null || reason === '' ? '' : `, because ${reason}`;
