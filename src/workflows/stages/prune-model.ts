import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type PruningSummary, writeManifest } from '../../artifact/manifest.ts';
import { copyCompanions, type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { patchConfigs } from '../../artifact/patch-config.ts';
import type { PruneResult } from '../../artifact/results.ts';
import type { Model } from '../../ir/model.ts';
import { applyPruning } from '../../prune/apply-pruning.ts';
import type { Cut } from '../../prune/kept-axes.ts';
import { findsAmount } from '../../prune/prune-settings.ts';
import { cutsOf, PRUNING_NAME, serializePruning } from '../../prune/pruning-file.ts';
import type { PruningPlan } from '../../prune/pruning-plan.ts';
import { uniformWidths } from '../../prune/uniform-widths.ts';
import { requireOnnxruntime } from '../../runners/onnxruntime/onnxruntime-package.ts';
import { saveModel } from '../../storage/model-file.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { Reporter } from '../progress.ts';
import { requireLoadable } from '../proof/load-artifact.ts';
import { countParameters } from '../proof/model-label.ts';
import { verifyPruning } from '../proof/verify-pruning.ts';
import type { CollectedChannels } from './channel-moments.ts';
import { type PruneRequest, planCut, recoverCut, recoversWith } from './plan-cut.ts';

/** Names of what {@link pruneInto} writes besides companions and external data. */
export const PRUNED_FILES = { model: 'model.onnx', plan: PRUNING_NAME } as const;

/** Data-free cuts of language models are known to go wrong: of SmolLM2-135M a tenth, by L1, leaves nothing. */
const WITHOUT_DATA =
  'Ranked by weights alone: a language model may lose all it knows, because a few channels carry huge activations ' +
  'through small weights. Give --data, or check the result before use.';

/** Returns the plan of a dry run: what would go. Reads weights and, with data, runs the calibration samples. */
export async function planOnlyPruning(
  request: PruneRequest,
  reporter: Reporter,
): Promise<{ readonly plan: PruningPlan; readonly warnings: readonly string[] }> {
  const scratch = await makeTemporaryFolder('autoglm-prune-');
  try {
    const recovers = recoversWith(request) && findsAmount(request.settings);
    const { plan, channels } = await planCut(request, { recovers, scratch }, reporter);
    await channels?.close();
    return { plan, warnings: warningsOf(request, plan) };
  } finally {
    await removeTemporaryFolder(scratch);
  }
}

/**
 * Prunes a model into a folder: `model.onnx`, `pruning.json`, companions whose widths are patched, `manifest.json`. The
 * cut is proven against the masked original, and onnxruntime loads what was written. Throws UnsupportedError when
 * nothing of the model can be pruned, naming what is in the way.
 */
export async function pruneInto(
  folder: string,
  request: PruneRequest,
  reporter: Reporter,
): Promise<PruneResult> {
  const { source } = request;
  const scratch = await makeTemporaryFolder('autoglm-prune-');
  let channels: CollectedChannels | undefined;
  try {
    const recovers = recoversWith(request);
    const planned = await planCut(request, { recovers, scratch }, reporter);
    const { found, plan } = planned;
    channels = planned.channels;
    const cuts = cutsOf(found, plan);
    const { model: whole, recovered } = await recoverCut(
      recovers ? channels : undefined,
      { model: source.model, cuts, scratch, how: request.settings.recover },
      reporter,
    );
    const pruned = applyPruning(whole, cuts);
    const proof = await prove({ request, whole, pruned, cuts }, reporter);
    const path = join(folder, PRUNED_FILES.model);
    if (cuts.length === 0) await copySource(source, folder);
    else {
      await saveModel(pruned, path, {
        onBytes: (done) => reporter.progress({ task: 'write', done, total: done, unit: 'bytes' }),
      });
    }
    await requireLoadable(path);
    const companions = await copyCompanions(source, folder);
    const widths = uniformWidths(found, cuts);
    await patchConfigs(folder, companions, widths);
    await writeFileAtomic(join(folder, PRUNED_FILES.plan), serializePruning(plan));
    const written = await openModelOnDisk(path);
    const warnings = [...warningsOf(request, plan), ...widths.notes];
    const pruning: PruningSummary = {
      amount: plan.amount,
      importance: plan.importance,
      groups: cuts.length,
      declined: plan.declined.length,
      parametersBefore: countParameters(source.model),
      parametersAfter: countParameters(written.model),
      proof,
    };
    const manifest = await writeManifest(
      folder,
      {
        target: 'onnxruntime',
        artifact: PRUNED_FILES.model,
        source,
        data: channels?.data,
        pruning,
        excluded: [],
        notes: [...source.notes, ...warnings],
        verified: [
          {
            runner: `onnxruntime ${requireOnnxruntime().version}`,
            device: 'cpu',
            seen: `loads, with graph optimisation off; ${proof}`,
          },
        ],
        notVerified: [],
      },
      [PRUNED_FILES.model, PRUNED_FILES.plan, ...written.model.storage.files, ...companions],
    );
    return { schema: 'autoglm.prune/1', plan, pruning, recovered, warnings, manifest };
  } finally {
    await removeTemporaryFolder(scratch);
    await channels?.close();
  }
}

/** Where nothing is cut the model is that of the source, byte for byte. */
async function copySource(source: ModelOnDisk, folder: string): Promise<void> {
  await copyFile(source.path, join(folder, PRUNED_FILES.model));
  for (const name of source.written.storage.files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await copyFile(join(source.folder, name), join(folder, name));
  }
}

/** Returns what was seen, in words. */
async function prove(
  cut: {
    readonly request: PruneRequest;
    readonly whole: Model;
    readonly pruned: Model;
    readonly cuts: readonly Cut[];
  },
  reporter: Reporter,
): Promise<string> {
  const { request, whole, pruned, cuts } = cut;
  if (cuts.length === 0) return 'nothing was cut';
  if (request.settings.verify !== 'full')
    return 'the cut was not compared with the masked original';
  const proven = await verifyPruning({
    whole,
    pruned,
    cuts,
    source: request.source,
    choice: request.choice,
  });
  if ('reason' in proven)
    return `the cut was not compared with the masked original: ${proven.reason}`;
  const { isExact, largestDifference, values } = proven;
  const proof = isExact
    ? `all ${values} outputs equal those of the masked original bit for bit`
    : `outputs differ from those of the masked original by ${largestDifference.toPrecision(2)} of their largest`;
  reporter.note(`proof: ${proof}.`);
  return proof;
}

function warningsOf({ choice }: PruneRequest, plan: PruningPlan): readonly string[] {
  const isLanguageModel = plan.groups.some(({ kind }) => kind === 'ffn');
  const removes = plan.groups.some(({ removed }) => removed.length > 0);
  return [
    ...(choice === undefined && isLanguageModel && removes ? [WITHOUT_DATA] : []),
    ...(removes || plan.amount === 0
      ? []
      : ['Nothing was removed: see the reasons of the groups.']),
  ];
}
