/** `slipway experiment …`: A/B experiments and bandits on live users. */
import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';

import type {
  ExperimentDetail,
  ListedExperiment,
  OffPolicyResult,
  ExperimentSnapshot,
} from '../../api/client.ts';
import type { CliContext } from '../context.ts';
import { asOption, jsonOption, modelName, reasonOption } from '../options.ts';
import type { Output } from '../output.ts';
import { instant, shortDigest } from '../output.ts';
import { withProgress } from '../progress.ts';

interface Common {
  readonly as: string;
  readonly json?: true;
}

export function experimentCommands(program: Command, context: CliContext): void {
  const group = program
    .command('experiment')
    .description('A/B experiments and bandits, as the manifest declares them')
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExamples:\n  slipway experiment start elec2 prices\n  slipway experiment show elec2 prices\n  slipway experiment stop elec2 prices --reason "seen enough"',
    );
  startAndStop(group, context);
  showing(group, context);
  evaluating(group, context);
}

function startAndStop(group: Command, { output, connect }: CliContext): void {
  group
    .command('start')
    .description('give every arm its share of live requests; waits until every gateway has the arms')
    .argument('<model>', 'name of the model', modelName)
    .argument('<name>', 'name of the experiment in the manifest', experimentName)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway experiment start elec2 prices')
    .action(async (model: string, name: string, { as, json }: Common) => {
      const client = await connect(as);
      const run = await withProgress(output, () => `starting ${name}`, client.startExperiment(model, name));
      if (json) return output.json(run);
      output.line(`experiment ${name} of ${model} runs (generation ${run.generation ?? 'unknown'})`);
      output.line(`Next: slipway experiment show ${model} ${name}`);
    });

  group
    .command('stop')
    .description('end an experiment; the champion answers everything')
    .argument('<model>', 'name of the model', modelName)
    .argument('<name>', 'name of the experiment', experimentName)
    .addOption(reasonOption('stopped from the command line'))
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway experiment stop elec2 prices --reason "arm b fails"')
    .action(async (model: string, name: string, { as, json, reason }: Common & { reason: string }) => {
      const client = await connect(as);
      const run = await withProgress(
        output,
        () => `stopping ${name}`,
        client.stopExperiment(model, name, reason),
      );
      if (json) return output.json(run);
      output.line(
        `experiment ${name} of ${model}: ${run.end?.outcome ?? 'is being stopped'}; the champion serves`,
      );
    });
}

function showing(group: Command, { output, connect }: CliContext): void {
  group
    .command('list')
    .description('experiments that have begun, newest first')
    .argument('[model]', 'name of one model; all of them without it', modelName)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway experiment list elec2')
    .action(async (model: string | undefined, { as, json }: Common) => {
      const experiments = await (await connect(as)).experiments(model);
      return json ? output.json({ experiments }) : showList(output, experiments);
    });

  group
    .command('show')
    .description('arms with their shares, rewards and means, and what follows so far')
    .argument('<model>', 'name of the model', modelName)
    .argument('<name>', 'name of the experiment', experimentName)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway experiment show elec2 prices')
    .action(async (model: string, name: string, { as, json }: Common) => {
      const detail = await (await connect(as)).experiment(model, name);
      return json ? output.json(detail) : showDetail(output, detail);
    });

  group
    .command('history')
    .description('snapshots of the policy, newest first')
    .argument('<model>', 'name of the model', modelName)
    .argument('<name>', 'name of the experiment', experimentName)
    .addOption(new Option('--limit <n>', 'how many').default(20).argParser(limitOf))
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  slipway experiment history elec2 prices --limit 100')
    .action(async (model: string, name: string, { as, json, limit }: Common & { limit: number }) => {
      const snapshots = await (await connect(as)).experimentHistory(model, name, limit);
      return json ? output.json({ snapshots }) : showHistory(output, snapshots);
    });
}

function evaluating(group: Command, { output, connect }: CliContext): void {
  group
    .command('evaluate')
    .description('what other shares would have earned, from the logged decisions')
    .argument('<model>', 'name of the model', modelName)
    .argument('<name>', 'name of the experiment', experimentName)
    .addOption(
      new Option('--policy <shares>', 'an arm that gets everything, or percentages: a=20,b=80')
        .makeOptionMandatory()
        .argParser(policyOf),
    )
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway experiment evaluate elec2 prices --policy b\n  slipway experiment evaluate elec2 prices --policy a=20,b=80',
    )
    .action(
      async (
        model: string,
        name: string,
        { as, json, policy }: Common & { policy: Record<string, number> },
      ) => {
        const result = await (await connect(as)).evaluatePolicy(model, name, policy);
        return json ? output.json(result) : showEvaluation(output, result);
      },
    );
}

function experimentName(text: string): string {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) {
    throw new InvalidArgumentError('An experiment name has lower-case letters, digits and -, at most 63.');
  }
  return text;
}

function limitOf(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new InvalidArgumentError('A limit is a whole number from 1 to 1000.');
  }
  return limit;
}

/** `b` or `a=20,b=80`. */
function policyOf(text: string): Record<string, number> {
  if (/^[a-z0-9][a-z0-9-]*$/.test(text)) return { [text]: 100 };
  const parts = text.split(',').map((part) => /^([a-z0-9][a-z0-9-]*)=(\d+(?:\.\d+)?)$/.exec(part));
  if (parts.includes(null)) {
    throw new InvalidArgumentError('A policy is the name of an arm, or percentages such as a=20,b=80.');
  }
  return Object.fromEntries(parts.map((part) => [part?.[1] ?? '', Number(part?.[2])]));
}

function showList(output: Output, experiments: readonly ListedExperiment[]): void {
  if (experiments.length === 0)
    return output.line('No experiment has begun yet. Next: slipway experiment start');
  output.table(
    ['model', 'experiment', 'policy', 'since', 'status', 'winner'],
    experiments.map(({ endpoint, name, plan, startedAtMs, status, outcome, winner }) => [
      endpoint,
      name,
      plan.policy.kind === 'ab' ? 'ab' : plan.policy.algorithm,
      instant(startedAtMs),
      outcome ?? status,
      winner ?? '',
    ]),
  );
}

function showDetail(output: Output, detail: ExperimentDetail): void {
  const { experiment, status, snapshot, arms, rewards, sampleRatio, result } = detail;
  const { endpoint, name, plan } = experiment;
  const policy = plan.policy.kind === 'ab' ? 'A/B' : plan.policy.algorithm;
  output.line(output.bold(`${endpoint}/${name}: ${experiment.outcome ?? status}`));
  if (plan.hypothesis !== null) output.line(`  hypothesis    ${plan.hypothesis}`);
  output.line(`  policy        ${policy}, snapshot ${snapshot} of ${instant(detail.atMs)}`);
  output.table(
    [
      'arm',
      'version',
      'share',
      'decisions',
      'rewards',
      'mean',
      `interval (${(1 - plan.alpha) * 100} %)`,
      'posterior',
    ],
    arms.map((arm) => [
      arm.name,
      shortDigest(arm.version),
      arm.shareBp === null ? 'by request' : `${arm.shareBp / 100} %`,
      String(arm.decisions),
      String(arm.rewards),
      arm.mean === null ? '–' : arm.mean.toFixed(4),
      `${arm.interval.lower.toFixed(4)} to ${arm.interval.upper.toFixed(4)}`,
      arm.posterior === null ? '–' : `Beta(${arm.posterior.a.toFixed(1)}, ${arm.posterior.b.toFixed(1)})`,
    ]),
  );
  for (const { comparison } of arms) {
    if (comparison === null) continue;
    const { arm, control, interval, pValue } = comparison;
    output.line(
      `  ${arm} − ${control}: ${interval.lower.toFixed(4)} to ${interval.upper.toFixed(4)} (p ${pValue.toPrecision(2)}, valid at any look)`,
    );
  }
  const { received, counted, late, invalid, waiting, duplicate, conflicting } = rewards;
  output.line(
    `  rewards       ${received} received: ${counted} counted, ${late} late, ${invalid} invalid, ${waiting} waiting; ${duplicate} duplicate, ${conflicting} conflicting`,
  );
  const ratio = sampleRatio.checked ? 'as it should be' : 'not checked: shares depend on the request';
  output.line(`  sample ratio  ${sampleRatio.mismatch ?? ratio}`);
  output.line(`  result        ${result.outcome ?? 'so far'}: ${result.reason}`);
}

function showHistory(output: Output, snapshots: readonly ExperimentSnapshot[]): void {
  output.table(
    ['version', 'at', 'shares', 'decisions', 'rewards', 'late'],
    snapshots.map(({ version, atMs, sharesBp, arms, late }) => [
      String(version),
      instant(atMs),
      sharesBp.map((share) => `${share / 100}`).join(' / '),
      arms.map(({ decisions }) => decisions).join(' / '),
      arms.map(({ totals }) => totals.rewards).join(' / '),
      String(late),
    ]),
  );
}

function showEvaluation(output: Output, result: OffPolicyResult): void {
  output.table(
    ['estimate', 'value', '95 % interval'],
    (['ips', 'snips'] as const).map((kind) => {
      const { value, interval } = result[kind];
      return [
        kind.toUpperCase(),
        value.toFixed(4),
        `${interval.lower.toFixed(4)} to ${interval.upper.toFixed(4)}`,
      ];
    }),
  );
  output.line(
    `  ${result.rows} decisions with rewards; effective sample size ${result.effectiveSampleSize.toFixed(0)}, largest weight ${result.largestWeight.toFixed(2)}`,
  );
}
