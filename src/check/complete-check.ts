import {
  CHECK_SCHEMA,
  type CheckResult,
  type LatencySummary,
  type OutputSimilarity,
} from './check-result.ts';
import { CHECK_RESULT_SCHEMA } from './check-result-schema.ts';
import { evaluateGates, type Gates } from './gates.ts';
import { judgedSqnr } from './row-similarity.ts';

/** Everything a check measured, before gates and warnings. */
export type CheckMeasurements = Omit<CheckResult, 'schema' | 'gates' | 'warnings' | 'passed'> & {
  /** Warnings of whoever measured; those that follow from the figures are added. */
  readonly warnings?: readonly string[];
};

/**
 * A p90 this far above the median means that neighbours took the processor again and again. The
 * coefficient of variation would not do: one run of a thousand that was held up doubles it.
 */
const NOISY = 0.25;
/** dB: below it the error has more than a tenth of the energy of what the source says. */
const POOR_SQNR = 10;
/** Share of an artifact's kernel time from which weight-only layers are worth a word when it is slow. */
const MUCH_WEIGHT_ONLY = 0.25;
/** Fewer texts than this give wide intervals. */
const FEW_SAMPLES = 8;

/**
 * Returns the result of a check: the measurements with the gates evaluated and warnings for what
 * weakens a figure. `passed` is false when a gate failed. Keys come in the order of the schema,
 * whoever made the parts, so that equal checks are equal bytes; a figure that is not finite is refused.
 */
export function completeCheck(measurements: CheckMeasurements, gates: Gates): CheckResult {
  const results = evaluateGates(gates, measurements);
  return CHECK_RESULT_SCHEMA.parse({
    ...measurements,
    schema: CHECK_SCHEMA,
    gates: results,
    warnings: [...(measurements.warnings ?? []), ...findWarnings(measurements)],
    passed: results.every(({ passed }) => passed),
  });
}

function findWarnings(measurements: CheckMeasurements): readonly string[] {
  return [
    ...accuracyWarnings(measurements),
    ...latencyWarnings(measurements),
    ...kernelWarnings(measurements),
    ...placementWarnings(measurements),
  ];
}

function accuracyWarnings({ accuracy, data }: CheckMeasurements): readonly string[] {
  const warnings: string[] = [];
  if (data?.representative === false) {
    warnings.push(
      `data: ${data.name} is not representative, so these accuracy figures say little about real use.`,
    );
  }
  if (accuracy === null) return warnings;
  warnings.push(...accuracy.outputs.flatMap(nonFiniteWarning), ...poorWarnings(accuracy.outputs));
  if (accuracy.languageModel !== null && accuracy.samples < FEW_SAMPLES) {
    warnings.push(
      `accuracy: few samples (got ${accuracy.samples}, ${FEW_SAMPLES} or more give narrower intervals).`,
    );
  }
  return warnings;
}

function nonFiniteWarning({ name, nonFiniteMismatches }: OutputSimilarity): readonly string[] {
  if (nonFiniteMismatches === 0) return [];
  return [
    `output ${name}: ${nonFiniteMismatches} values are NaN or infinite in one model alone, so its ` +
      'similarity is not defined. Look for a scale that is too small with "autoglm inspect".',
  ];
}

/** One warning, of the worst output: a decoder has dozens of cached keys and values. */
function poorWarnings(outputs: readonly OutputSimilarity[]): readonly string[] {
  const poor = outputs
    .map((output) => ({ ...output, judged: judgedSqnr(output) ?? Infinity }))
    .filter(({ judged }) => judged < POOR_SQNR)
    .sort((a, b) => a.judged - b.judged);
  const [worst] = poor;
  if (worst === undefined) return [];
  const { name, rows, sqnrDb, judged } = worst;
  const others = poor.length === 1 ? '' : ` (below ${POOR_SQNR} dB: ${poor.length} outputs)`;
  const isHidden = rows !== null && sqnrDb !== null && sqnrDb >= POOR_SQNR;
  const how = isHidden
    ? `a few loud rows hide it: ${inDecibels(sqnrDb)} dB of all elements together, ` +
      `${inDecibels(rows.sqnrDb.mean)} dB of the mean row`
    : `${inDecibels(judged)} dB, where 20 and more are usual for INT8`;
  return [
    `output ${name}: its SQNR is poor, ${how}${others}. Keep the layers that lose it out of the recipe: ` +
      'weight-only (recipe w8a16) or float.',
  ];
}

function inDecibels(value: number): string {
  return value.toFixed(1);
}

function latencyWarnings({ latency }: CheckMeasurements): readonly string[] {
  return latency.flatMap(({ scenario, baselineTimes, artifactTimes }) => {
    const noise = Math.max(spreadOf(baselineTimes), spreadOf(artifactTimes));
    const isSteady = baselineTimes.steady && artifactTimes.steady;
    return [
      ...(noise > NOISY
        ? [
            `latency ${scenario}: p90 is ${Math.round(100 * noise)} % above the median, so the machine was ` +
              'busy and the interval is wide. Time it again when it is quiet.',
          ]
        : []),
      ...(isSteady ? [] : [`latency ${scenario}: times had not settled when warm-up ended.`]),
    ];
  });
}

/** Weight-only layers gain nothing where many rows meet a processor without VNNI; say so where it shows. */
function kernelWarnings({ kernelTimes, latency }: CheckMeasurements): readonly string[] {
  if (kernelTimes === null) return [];
  const { scenario, artifact } = kernelTimes;
  const timed = latency.find((entry) => entry.scenario === scenario);
  const { share = 0 } = artifact.kinds.find(({ kind }) => kind === 'MatMulNBits') ?? {};
  if (timed?.verdict !== 'slower' || share < MUCH_WEIGHT_ONLY) return [];
  return [
    `latency ${scenario}: slower, and ${Math.round(100 * share)} % of the artifact's kernel time is ` +
      'MatMulNBits, of weight-only layers: from some 16 rows on it is no faster than float on ' +
      'processors without VNNI. INT8 activations are (recipes w8a8, w8a8-full, w8a8-dynamic).',
  ];
}

function spreadOf({ p50Milliseconds, p90Milliseconds }: LatencySummary): number {
  return p90Milliseconds / p50Milliseconds - 1;
}

function placementWarnings({ fusion, fallbackNodes, device }: CheckMeasurements): string[] {
  const warnings: string[] = [];
  if (fusion !== null && fusion.fused < fusion.planned) {
    warnings.push(
      `fusion: ${fusion.planned - fusion.fused} of ${fusion.planned} planned layers run in float: ` +
        `${fusion.unfused.map(({ layer }) => layer).join(', ')}.`,
    );
  }
  if (fusion !== null && fusion.takenBack.length > 0) {
    const [first] = fusion.takenBack;
    warnings.push(
      `fusion: ${fusion.takenBack.length} layers did not fuse as the recipe has them and are weight-only or float ` +
        `instead (${first?.layer}: ${first?.reason}).`,
    );
  }
  if (fallbackNodes.length > 0) {
    warnings.push(`device: ${fallbackNodes.length} nodes ran elsewhere than on ${device.id}.`);
  }
  return warnings;
}
