import * as z from 'zod';
import { UsageError } from '../errors.ts';
import type { CheckResult, GateResult, Interval } from './check-result.ts';

/** What the model must reach, as written in a config. Absent gates ask for nothing. */
export interface Gates {
  /** `0.5pt` or `1.2%`: both are points of top-1 (100 * (source - artifact)), never a relative drop. */
  readonly maxTop1Drop?: string | undefined;
  readonly maxPerplexityRatio?: number | undefined;
  readonly maxKl?: number | undefined;
  readonly minAgreement?: number | string | undefined;
  readonly minCosine?: number | undefined;
  readonly minSpeedup?: number | undefined;
  readonly maxSizeRatio?: number | undefined;
  readonly maxPeakMemoryRatio?: number | undefined;
}

const pointsError = {
  error: (issue: { readonly input?: unknown }): string =>
    `not a number of points (got ${JSON.stringify(issue.input)}, such as 0.5pt).`,
};

const points = z.string(pointsError).regex(/^\d+(\.\d+)?\s*(pt|%)$/, pointsError);

const share = z.union(
  [z.number().min(0).max(1), z.string().regex(/^(100(\.0+)?|\d{1,2}(\.\d+)?)\s*%$/)],
  {
    error: (issue) => `not a share (got ${JSON.stringify(issue.input)}, such as 0.99 or 99%).`,
  },
);

/** Schema of the `gates` of a config. */
export const GATES_SCHEMA: z.ZodType<Gates, Gates> = z.strictObject({
  maxTop1Drop: points.optional().describe('Largest loss of top-1 in points: 0.5pt (same as 0.5%).'),
  maxPerplexityRatio: z.number().positive().optional().describe('Perplexity after / before.'),
  maxKl: z.number().min(0).optional().describe('Mean KL(source || artifact) in nats.'),
  minAgreement: share.optional().describe('Share of equal top-1 answers: 0.99 or 99%.'),
  minCosine: z.number().min(-1).max(1).optional().describe('Lowest cosine of any output.'),
  minSpeedup: z
    .number()
    .positive()
    .optional()
    .describe('Median time before / after, in every scenario.'),
  maxSizeRatio: z.number().positive().optional().describe('Bytes after / before, all files.'),
  maxPeakMemoryRatio: z.number().positive().optional().describe('Peak memory after / before.'),
});

/**
 * Returns the gates of command line options such as `maxTop1Drop=0.5pt` and `minSpeedup=1.5`.
 * Throws UsageError that names the option, and the gates there are.
 */
export function parseGates(options: readonly string[]): Gates {
  const entries = options.map((option) => {
    const [name = '', limit = '', ...rest] = option.split('=').map((part) => part.trim());
    if (!GATE_NAMES.includes(name as keyof Gates) || rest.length > 0) {
      throw new UsageError(
        `--gate ${option}: is no gate (got ${JSON.stringify(name)}, expected <name>=<limit> with one of ${GATE_NAMES.join(', ')}).`,
      );
    }
    const isNumber = limit !== '' && !Number.isNaN(Number(limit));
    return [name, isNumber ? Number(limit) : limit] as const;
  });
  const parsed = GATES_SCHEMA.safeParse(Object.fromEntries(entries));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--gate ${String(issue?.path[0] ?? '')}: ${issue?.message ?? 'invalid'}`, {
    cause: parsed.error,
  });
}

/** The parts of a check that gates look at. */
export type GateInput = Pick<CheckResult, 'accuracy' | 'latency' | 'sizes'>;

/**
 * Returns one result per gate that is asked for, in the order of {@link Gates}. A gate whose figure
 * was not measured fails. `minSpeedup` above 1 also fails when the 95 % interval of a scenario does
 * not exclude 1: a speedup that may be noise is none.
 */
export function evaluateGates(gates: Gates, input: GateInput): readonly GateResult[] {
  return GATE_NAMES.flatMap((gate) => {
    const limit = gates[gate];
    return limit === undefined ? [] : [evaluateGate(gate, limit, input)];
  });
}

interface Measurement {
  readonly value: number;
  /** What more a reader should know. */
  readonly detail?: string | undefined;
  /** Why a figure within the limit is still no proof. */
  readonly unproven?: string | undefined;
}

interface Definition {
  readonly what: string;
  readonly format: (value: number) => string;
  /** Returns the figure, or a sentence on why there is none. */
  readonly measure: (input: GateInput, limit: number) => Measurement | string;
}

function evaluateGate(gate: keyof Gates, written: number | string, input: GateInput): GateResult {
  const { what, format, measure } = DEFINITIONS[gate];
  const limit = parseLimit(gate, written);
  const isMax = gate.startsWith('max');
  const asked = `${isMax ? '<=' : '>='} ${format(limit)}`;
  const measured = measure(input, limit);
  if (typeof measured === 'string') {
    const text = `${gate}: ${what} was not measured, ${measured} (expected ${asked}).`;
    return { gate, limit: asked, measured: 'not measured', value: null, passed: false, text };
  }
  const { value, detail, unproven } = measured;
  const isWithin = isMax ? value <= limit : value >= limit;
  const notes = [detail, isWithin ? unproven : undefined].filter((note) => note !== undefined);
  const extra = notes.length > 0 ? `, ${notes.join(', ')}` : '';
  return {
    gate,
    limit: asked,
    measured: format(value),
    value,
    passed: isWithin && unproven === undefined,
    text: `${gate}: ${what} is ${format(value)} (expected ${asked}${extra}).`,
  };
}

/** Points of top-1 stay points, whichever sign they carry; any other percentage is a fraction. */
function parseLimit(gate: keyof Gates, written: number | string): number {
  if (typeof written === 'number') return written;
  const value = Number.parseFloat(written);
  return gate === 'maxTop1Drop' ? value : value / 100;
}

const inPoints = (value: number): string => `${trimmed(value, 3)}pt`;
const inPercent = (value: number): string => `${trimmed(100 * value, 3)}%`;
const inTimes = (value: number): string => `${trimmed(value, 4)}x`;
const bare = (value: number): string => trimmed(value, 6);

/** `fractionDigits` at most; tiny values keep two significant digits, so that 4e-7 is not 0. */
function trimmed(value: number, fractionDigits: number): string {
  const fixed = Number(value.toFixed(fractionDigits));
  return fixed === 0 && value !== 0 ? value.toPrecision(2) : String(fixed);
}

const DEFINITIONS: Readonly<Record<keyof Gates, Definition>> = {
  maxTop1Drop: {
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
    what: 'the mean KL divergence in nats',
    format: bare,
    measure({ accuracy }) {
      const logits = accuracy?.languageModel ?? accuracy?.classification;
      if (!logits) return missing(accuracy, 'the models have no logits');
      return logits.klNats === null ? 'it is not finite' : { value: logits.klNats };
    },
  },
  minAgreement: {
    what: 'the top-1 agreement',
    format: inPercent,
    measure({ accuracy }) {
      const logits = accuracy?.languageModel ?? accuracy?.classification;
      return logits ? { value: logits.agreement } : missing(accuracy, 'the models have no logits');
    },
  },
  minCosine: {
    what: 'the lowest cosine of an output',
    format: bare,
    measure({ accuracy }) {
      if (!accuracy) return missing(accuracy, '');
      const broken = accuracy.outputs.find(({ cosine }) => cosine === null);
      if (broken !== undefined) return `output ${broken.name} has values that are not finite`;
      const cosines = accuracy.outputs.flatMap(({ cosine }) => cosine ?? []);
      return { value: Math.min(...cosines) };
    },
  },
  minSpeedup: {
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
  maxSizeRatio: {
    what: 'the size ratio',
    format: inTimes,
    measure: ({ sizes }) => ({ value: sizes.ratio }),
  },
  maxPeakMemoryRatio: {
    what: 'the peak memory ratio',
    format: inTimes,
    measure({ sizes }) {
      const value = sizes.peakMemoryRatio;
      return value === null ? 'the models did not run in processes of their own' : { value };
    },
  },
};

const GATE_NAMES = Object.keys(DEFINITIONS) as readonly (keyof Gates)[];

function missing(accuracy: GateInput['accuracy'], reason: string): string {
  return accuracy === null ? 'no held-out data were run' : reason;
}

function intervalText(
  value: Interval | null,
  format: (value: number) => string,
): string | undefined {
  return value === null ? undefined : `95 % interval ${format(value.low)} to ${format(value.high)}`;
}
