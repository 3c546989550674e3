import { foretoldError } from '../../prune/allocate.ts';
import { planFromScores, type ScoredGroups } from '../../prune/plan-pruning.ts';
import type { Reporter } from '../progress.ts';
import { openData } from '../project/open-data.ts';
import { openPrunedBench, type PrunedBenchRequest } from './pruned-bench.ts';

/** Held-out windows of text that are run for each layer; other samples are smaller, and more are needed. */
const TEXT_WINDOWS = 8;
const OTHER_WINDOWS = 256;

/**
 * Returns scored groups with what a unit of error of each group's output costs the model: the KL of the model in which the
 * group alone loses its share, over the error that its scores foretell. Heads have none: they go in steps too large to
 * move about. Runs each group once; nothing is trained and nothing differentiated.
 */
export async function measureSensitivities(
  request: PrunedBenchRequest,
  reporter: Reporter,
): Promise<ScoredGroups> {
  const { source, settings, scored, choice } = request;
  const uniform = planFromScores(scored, settings);
  const { kind } = await openData(choice, source);
  const most = kind === 'text' ? TEXT_WINDOWS : OTHER_WINDOWS;
  const heldOutSamples = Math.min(choice.heldOutSamples ?? most, most);
  const task = { name: 'sensitivity of layers', trials: scored.scored.length };
  const few = { ...request, choice: { ...choice, heldOutSamples } };
  const bench = await openPrunedBench(few, task, reporter);
  try {
    const sensitivities: (number | undefined)[] = [];
    for (const [index, { group, scores }] of scored.scored.entries()) {
      const { removed } = uniform.groups[index]!;
      if (group.kind === 'heads' || removed.length === 0) {
        sensitivities.push(undefined);
        continue;
      }
      const groups = uniform.groups.map((planned, other) =>
        other === index ? planned : { ...planned, removed: [] },
      );
      const { klNats } = await bench.measure({ ...uniform, groups });
      const foretold = foretoldError(scores, removed.length);
      sensitivities.push(sensitivityOf(klNats, foretold));
    }
    return { ...scored, sensitivities };
  } finally {
    await bench.close();
  }
}

function sensitivityOf(klNats: number | null, foretold: number): number {
  if (klNats === null) return Number.POSITIVE_INFINITY;
  return foretold > 0 ? Math.max(klNats, 0) / foretold : 0;
}
