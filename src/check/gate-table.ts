/** Every gate there is: adding one is adding one entry to {@link GATE_TABLE}. */
import * as z from 'zod';
import type { CheckResult, Interval, OutputSimilarity } from './check-result.ts';
import { EQUAL_DB, judgedCosine, judgedSqnr } from './row-similarity.ts';

/** The parts of a check that gates look at. */
export type GateInput = Pick<
  CheckResult,
  'accuracy' | 'latency' | 'sizes' | 'fusion' | 'saturation'
>;

/** What a gate found. */
export interface GateMeasurement {
  /** In the unit that the gate's limit is compared in: points, fractions, ratios, nats. */
  readonly value: number;
  /** What more a reader should know. */
  readonly detail?: string | undefined;
  /** Why a figure within the limit is still no proof. */
  readonly unproven?: string | undefined;
}

/** One gate. A name that begins with `max` is an upper limit, one with `min` a lower limit. */
export interface GateDefinition {
  /** How a limit is written. */
  readonly limit: z.ZodType<number | string>;
  /** One line for the JSON Schema of configs. */
  readonly about: string;
  /** What is measured, to be followed by "is" or "was not measured". */
  readonly what: string;
  readonly format: (value: number) => string;
  /** Returns the figure, or the end of a sentence on why there is none. */
  readonly measure: (input: GateInput, limit: number) => GateMeasurement | string;
}

const pointsError = {
  error: (issue: { readonly input?: unknown }): string =>
    `not a number of points (got ${JSON.stringify(issue.input)}, such as 0.5pt).`,
};

/** Points of top-1: `0.5pt`, or the same as `0.5%`. */
const points = z.string(pointsError).regex(/^\d+(\.\d+)?\s*(pt|%)$/, pointsError);

/** A fraction of 1, or percent of it. */
const share = z.union(
  [z.number().min(0).max(1), z.string().regex(/^(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%$/)],
  {
    error: (issue) => `not a share (got ${JSON.stringify(issue.input)}, such as 0.99 or 99%).`,
  },
);

const ratio = z.number().positive();
const nats = z.number().min(0);
const cosine = z.number().min(-1).max(1);
const decibels = z.number().max(EQUAL_DB);

const inPoints = (value: number): string => `${trimmed(value, 3)}pt`;
const inPercent = (value: number): string => `${trimmed(100 * value, 3)}%`;
const inTimes = (value: number): string => `${trimmed(value, 4)}x`;
const inDecibels = (value: number): string => `${trimmed(value, 2)}dB`;
const bare = (value: number): string => trimmed(value, 6);

/** The gates, in the order in which they are judged and listed. */
export const GATE_TABLE = {
  maxTop1Drop: {
    limit: points,
    about: 'Largest loss of top-1 in points: 0.5pt (same as 0.5%).',
    what: 'the loss of top-1',
    format: inPoints,
    measure({ accuracy }) {
      const top1 = accuracy?.languageModel?.top1 ?? accuracy?.classification?.top1;
      if (!top1) return missing(accuracy, 'the data have neither labels nor next tokens');
      const { dropPoints: value, dropPointsInterval } = top1;
      return { value, detail: intervalText(dropPointsInterval, inPoints) };
    },
  },
  maxPerplexityRatio: {
    limit: ratio,
    about: 'Perplexity after / before.',
    what: 'the perplexity ratio',
    format: inTimes,
    measure({ accuracy }) {
      const perplexity = accuracy?.languageModel?.perplexity;
      if (!perplexity) return missing(accuracy, 'there are no logits of next tokens');
      const { ratio: value, ratioInterval } = perplexity;
      return { value, detail: intervalText(ratioInterval, inTimes) };
    },
  },
  maxKl: {
    limit: nats,
    about: 'Mean KL(source || artifact) in nats.',
    what: 'the mean KL divergence in nats',
    format: bare,
    measure({ accuracy }) {
      const logits = accuracy?.languageModel ?? accuracy?.classification;
      if (!logits) return missing(accuracy, 'the models have no logits');
      return logits.klNats === null ? 'it is not finite' : { value: logits.klNats };
    },
  },
  maxWorstDomainKl: {
    limit: nats,
    about: 'Mean KL in nats of the kind of text that suffers most, where the data set names kinds.',
    what: 'the mean KL divergence in nats of the worst domain',
    format: bare,
    measure({ accuracy }) {
      const [first, ...others] = accuracy?.domains ?? [];
      if (first === undefined) return missing(accuracy, 'the data set names no domains');
      const unbounded = accuracy?.domains.find(({ klNats }) => klNats === null);
      if (unbounded !== undefined) return `that of ${unbounded.domain} is not finite`;
      const worst = others.reduce((most, own) => (own.klNats! > most.klNats! ? own : most), first);
      return { value: worst.klNats!, detail: worst.domain };
    },
  },
  maxKlP999: {
    limit: nats,
    about: 'KL in nats that 99.9 % of the positions may not exceed.',
    what: 'the 99.9th percentile of the KL divergence in nats',
    format: bare,
    measure({ accuracy }) {
      const logits = accuracy?.languageModel ?? accuracy?.classification;
      if (!logits) return missing(accuracy, 'the models have no logits');
      const { klP999Nats: value, klWorstNats: worst } = logits;
      if (value === null) return 'it is not finite';
      return { value, detail: worst === null ? undefined : `worst ${bare(worst)}` };
    },
  },
  minAgreement: {
    limit: share,
    about: 'Share of equal top-1 answers: 0.99 or 99%.',
    what: 'the top-1 agreement',
    format: inPercent,
    measure({ accuracy }) {
      const logits = accuracy?.languageModel ?? accuracy?.classification;
      return logits ? { value: logits.agreement } : missing(accuracy, 'the models have no logits');
    },
  },
  minCosine: {
    limit: cosine,
    about: 'Lowest cosine of any output, of all elements together and of the mean row.',
    what: 'the lowest cosine of an output',
    format: bare,
    measure: ({ accuracy }) => lowestOf(accuracy, judgedCosine),
  },
  minSqnr: {
    limit: decibels,
    about: 'Lowest SQNR in dB of any output, of all elements together and of the mean row.',
    what: 'the lowest SQNR of an output',
    format: inDecibels,
    measure: ({ accuracy }) => lowestOf(accuracy, judgedSqnr),
  },
  minRowCosine: {
    limit: cosine,
    about: 'Cosine of the worst row (token, sample) of any output.',
    what: 'the lowest cosine of a row',
    format: bare,
    measure: ({ accuracy }) =>
      lowestOf(accuracy, (output) => output.rows?.cosine.worst ?? output.cosine),
  },
  minRowSqnr: {
    limit: decibels,
    about: 'SQNR in dB of the worst row (token, sample) of any output.',
    what: 'the lowest SQNR of a row',
    format: inDecibels,
    measure: ({ accuracy }) =>
      lowestOf(accuracy, (output) => output.rows?.sqnrDb.worst ?? judgedSqnr(output)),
  },
  minSpeedup: {
    limit: ratio,
    about: 'Median time before / after, in every scenario.',
    what: 'the speedup',
    format: inTimes,
    measure({ latency }, limit) {
      const [first, ...others] = latency;
      if (first === undefined) return 'latency was not asked for';
      const worst = others.reduce((low, own) => (own.speedup < low.speedup ? own : low), first);
      const unsure = latency.find(({ verdict }) => verdict === 'no measurable difference');
      return {
        value: worst.speedup,
        detail: `${worst.scenario}, ${intervalText(worst.speedupInterval, inTimes)}`,
        unproven:
          limit > 1 && unsure !== undefined
            ? `but ${unsure.scenario} shows no measurable difference`
            : undefined,
      };
    },
  },
  minFused: {
    limit: share,
    about: 'Share of planned layers that run as the integer kernels they were planned as: 95%.',
    what: 'the share of planned layers that fused',
    format: inPercent,
    measure({ fusion }) {
      if (fusion === null) return 'no plan is known, or the model ran elsewhere than on the CPU';
      const { planned, unfused, takenBack } = fusion;
      const left = takenBack.filter(({ scheme }) => scheme === 'float').length;
      const astray = new Set([...unfused, ...takenBack].map(({ layer }) => layer));
      const total = planned + left;
      if (total === 0) return 'no layer was planned as integers';
      const [first] = [...unfused, ...takenBack];
      return {
        value: (total - astray.size) / total,
        detail: first && `${first.layer}: ${first.reason}`,
      };
    },
  },
  maxSizeRatio: {
    limit: ratio,
    about: 'Bytes after / before, all files.',
    what: 'the size ratio',
    format: inTimes,
    measure: ({ sizes }) => ({ value: sizes.ratio }),
  },
  maxPeakMemoryRatio: {
    limit: ratio,
    about: 'Peak memory after / before.',
    what: 'the peak memory ratio',
    format: inTimes,
    measure({ sizes }) {
      const value = sizes.peakMemoryRatio;
      return value === null ? 'the models did not run in processes of their own' : { value };
    },
  },
  maxUnsafePairs: {
    limit: share,
    about: 'Share of pairs of INT8 weights that saturate on x86 before VNNI: 0%.',
    what: 'the share of pairs of INT8 weights that saturate on x86 CPUs without VNNI',
    format: inPercent,
    measure({ saturation }) {
      if (saturation === null) return 'the target has no such products';
      const { pairs, unsafePairs, worstPair, notScanned } = saturation;
      const unseen = `${notScanned.length} integer layers were not looked at`;
      return {
        value: pairs === 0 ? 0 : unsafePairs / pairs,
        detail: pairs === 0 ? 'no integer products' : `worst pair ${worstPair} of 128`,
        unproven: notScanned.length > 0 ? `but ${unseen}` : undefined,
      };
    },
  },
} as const satisfies Readonly<Record<string, GateDefinition>>;

/** The lowest figure of the outputs that hold anything, and which output it is of. */
function lowestOf(
  accuracy: GateInput['accuracy'],
  figureOf: (output: OutputSimilarity) => number | null,
): GateMeasurement | string {
  if (!accuracy) return missing(accuracy, '');
  let lowest: GateMeasurement | undefined;
  for (const output of accuracy.outputs.filter(({ elements }) => elements > 0)) {
    const value = figureOf(output);
    if (value === null) return `output ${output.name} has values that are not finite`;
    if (lowest === undefined || value < lowest.value) lowest = { value, detail: output.name };
  }
  return lowest ?? 'the outputs are empty';
}

function missing(accuracy: GateInput['accuracy'], reason: string): string {
  return accuracy === null ? 'no held-out data were run' : reason;
}

function intervalText(
  value: Interval | null,
  format: (value: number) => string,
): string | undefined {
  return value === null ? undefined : `95 % interval ${format(value.low)} to ${format(value.high)}`;
}

/** `fractionDigits` at most; tiny values keep two significant digits, so that 4e-7 is not 0. */
function trimmed(value: number, fractionDigits: number): string {
  const fixed = Number(value.toFixed(fractionDigits));
  return fixed === 0 && value !== 0 ? value.toPrecision(2) : String(fixed);
}
