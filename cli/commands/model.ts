/** `slipway status` and `slipway rollback`. */
import type { Command } from 'commander';

import type { ModelStatus, ModelSummary } from '../../api/client.ts';
import type { CliContext } from '../context.ts';
import { asOption, jsonOption, modelName, reasonOption, versionDigest } from '../options.ts';
import type { Output } from '../output.ts';
import { shortDigest } from '../output.ts';
import { withProgress } from '../progress.ts';

export function modelCommands(program: Command, { output, connect }: CliContext): void {
  program
    .command('status')
    .description('show what serves and what is on its way')
    .argument('[model]', 'name of one model; all of them without it', modelName)
    .addOption(asOption('engineer'))
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  slipway status\n  slipway status elec2 --json')
    .action(async (model: string | undefined, { as, json }: { as: string; json?: true }) => {
      const client = await connect(as);
      if (model === undefined) {
        const models = await client.models();
        return json ? output.json({ models }) : showModels(output, models);
      }
      const status = await client.model(model);
      return json ? output.json(status) : showModel(output, status);
    });

  program
    .command('rollback')
    .description('let a former champion serve again; waits until every gateway does so')
    .argument('<model>', 'name of the model', modelName)
    .option('--to <version>', 'the version; the latest former champion without it', versionDigest)
    .addOption(reasonOption('rollback from the command line'))
    .addOption(asOption('operator'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  slipway rollback elec2 --reason "complaints since noon"\n  slipway rollback elec2 --to 3f2a91c07b11',
    )
    .action(async (model: string, options: { to?: string; reason: string; as: string; json?: true }) => {
      const { to, reason, as, json } = options;
      const client = await connect(as);
      const work = client.rollback(model, { reason, ...(to === undefined ? {} : { to }) });
      const result = await withProgress(output, () => `rolling ${model} back`, work);
      if (json) return output.json(result);
      output.line(
        `${model}: back from ${shortDigest(result.from)} to ${shortDigest(result.to)} in ${Math.round(result.milliseconds)} ms` +
          `${result.wasStandby ? ', nothing had to be loaded' : ''} (generation ${result.generation})`,
      );
    });
}

function showModels(output: Output, models: readonly ModelSummary[]): void {
  if (models.length === 0)
    return output.line('No model is declared yet. Next: slipway apply -f examples/elec2');
  output.table(
    ['model', 'champion', 'on its way'],
    models.map(({ name, champion, running }) => [
      name,
      champion === null ? 'none yet' : shortDigest(champion),
      running === null ? '' : `${running.id} (${running.phase})`,
    ]),
  );
}

function showModel(output: Output, { name, champion, route, gateways, running }: ModelStatus): void {
  output.line(output.bold(name));
  output.line(`  champion    ${champion ?? 'none yet'}`);
  if (route !== null) {
    output.line(`  generation  ${route.generation}`);
    const { candidate, standby, experiment } = route;
    if (candidate !== null) {
      const share = `${candidate.weightBp / 100} % of traffic, ${candidate.mirrorBp / 100} % mirrored`;
      output.line(`  candidate   ${candidate.version} (${share})`);
    }
    if (experiment !== null) {
      const arms = experiment.arms.map((arm) => arm.name).join(', ');
      output.line(
        `  experiment  ${experiment.name}: arms ${arms} (slipway experiment show ${name} ${experiment.name})`,
      );
    }
    if (standby !== null) output.line(`  standby     ${standby.version}`);
  }
  for (const { gatewayId, url, acknowledgement } of gateways) {
    const applied =
      acknowledgement === null ? 'nothing applied yet' : `generation ${acknowledgement.generation}`;
    output.line(`  gateway     ${gatewayId} ${url} (${applied})`);
  }
  if (gateways.length === 0) output.line('  gateway     none is alive');
  output.line(
    `  release     ${running === null ? 'none on its way' : `${running.id}, phase ${running.phase}`}`,
  );
}
