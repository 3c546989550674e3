import { z } from 'zod';
import { FormatError } from '../../errors.ts';
import { parseRecord } from '../../parse-record.ts';
import type { Outliers } from '../inspect/outliers.ts';
import type { SearchBudget } from './budget.ts';
import type { CurvePoint, SearchOutcome } from './search-budget.ts';
import { type GroupChoice, hasIntegerActivations, type SearchGroup } from './search-group.ts';

const count = z.int().nonnegative();
const figuresSchema = z.strictObject({
  positions: count,
  klNats: z.number().nullable(),
  agreement: z.number(),
  perplexityRatio: z.number().nullable(),
  dropPoints: z.number().nullable(),
});

const groupSchema = z.strictObject({
  name: z.string(),
  layers: z.array(z.string()),
  roles: z.array(z.string()),
  weightCount: count,
  /** KL in nats with INT8 activations in this group alone, and what it adds; null: not finite. */
  klNats: z.number().nullable(),
  excessKl: z.number().nullable(),
  choice: z.enum(['planned', 'weight-only', 'float']),
  /** Calibrated range of the shared input, after what was folded. */
  range: z.strictObject({ min: z.number(), max: z.number() }).exactOptional(),
  /** Where the largest values of that input sit, before anything is folded. */
  outliers: z
    .strictObject({
      largest: z.number(),
      token: count,
      channel: count,
      otherTokens: z.number(),
      typical: z.number(),
    })
    .exactOptional(),
});

const pointSchema = z.strictObject({
  /** Shares of the weights that the recipe gives INT8 activations, 0..1. */
  integerShare: z.number(),
  weightOnlyShare: z.number(),
  groups: z.strictObject({ planned: count, weightOnly: count, float: count }),
  figures: figuresSchema,
});

const fileSchema = z.strictObject({
  schema: z.literal('autoglm.search/1'),
  recipe: z.string(),
  /** Absent for a ranking without a budget. */
  budget: z
    .strictObject({
      maxKl: z.number().optional(),
      maxDropPoints: z.number().optional(),
      maxPerplexityRatio: z.number().optional(),
    })
    .optional(),
  /** The windows on which everything was measured; calibration never saw them. */
  data: z.strictObject({ sha256: z.string(), windows: count }),
  /** Runs of all windows that the search rests on, those of earlier, interrupted runs included. */
  evaluations: count,
  /** The point that was chosen; absent for a ranking without a budget. */
  chosen: pointSchema.optional(),
  /** Groups of layers that share an input, most sensitive per weight first. */
  groups: z.array(groupSchema),
  /** Measured points, most INT8 activations first. */
  curve: z.array(pointSchema),
});

/** `search.json`: what a search measured and chose. */
export type SearchFile = z.infer<typeof fileSchema>;

/** One measured point, as shares of weights. */
export type SearchPoint = z.infer<typeof pointSchema>;

/** Name of the file beside a quantized model. */
export const SEARCH_NAME = 'search.json';

/** What {@link describeSearch} writes down. */
export interface SearchDescription {
  readonly recipe: string;
  readonly budget?: SearchBudget;
  readonly data: { readonly sha256: string; readonly windows: number };
  readonly evaluations: number;
  readonly groups: readonly SearchGroup[];
  /** By group, where they were looked for. */
  readonly outliers?: readonly (Outliers | undefined)[];
  readonly outcome: Pick<SearchOutcome, 'ranking' | 'curve'> &
    Partial<Pick<SearchOutcome, 'choices' | 'figures'>>;
}

/** Returns the contents of `search.json`. */
export function describeSearch(description: SearchDescription): SearchFile {
  const { recipe, budget, data, evaluations, groups, outliers, outcome } = description;
  const { choices, figures, ranking, curve } = outcome;
  const chosen: CurvePoint | undefined =
    choices === undefined || figures === undefined ? undefined : { choices, figures };
  const points = curve.map((point) => describePoint(groups, point));
  return {
    schema: 'autoglm.search/1',
    recipe,
    ...(budget !== undefined && { budget: withoutAbsent(budget) }),
    data,
    evaluations,
    ...(chosen !== undefined && { chosen: describePoint(groups, chosen) }),
    groups: ranking.map(({ group, klNats, excessKl }) => {
      const { name, layers, roles, weightCount, range } = groups[group]!;
      const found = outliers?.[group];
      const choice = choices?.[group] ?? 'planned';
      return {
        name,
        layers: [...layers],
        roles: [...roles],
        weightCount,
        klNats,
        excessKl,
        choice,
        ...(range !== undefined && { range }),
        ...(found !== undefined && { outliers: found }),
      };
    }),
    curve: points.sort(
      (a, b) => b.integerShare - a.integerShare || b.weightOnlyShare - a.weightOnlyShare,
    ),
  };
}

/** Reads `search.json`. `where` (a path) leads the message. Throws {@link FormatError}. */
export function parseSearchFile(text: string, where: string): SearchFile {
  const what = 'a search file of version 1';
  return parseRecord(text, fileSchema, { where, what, cure: 'Quantize again.' });
}

function describePoint(
  groups: readonly SearchGroup[],
  { choices, figures }: CurvePoint,
): SearchPoint {
  const integer = groups.filter(hasIntegerActivations);
  const weightsOf = (choice: GroupChoice): number =>
    groups.reduce(
      (sum, group, index) =>
        hasIntegerActivations(group) && choices[index] === choice ? sum + group.weightCount : sum,
      0,
    );
  const total = integer.reduce((sum, { weightCount }) => sum + weightCount, 0);
  const share = (weights: number): number => (total === 0 ? 0 : weights / total);
  const groupsOf = (choice: GroupChoice): number =>
    groups.filter((_, index) => choices[index] === choice).length;
  return {
    integerShare: share(weightsOf('planned')),
    weightOnlyShare: share(weightsOf('weight-only')),
    groups: {
      planned: groupsOf('planned'),
      weightOnly: groupsOf('weight-only'),
      float: groupsOf('float'),
    },
    figures,
  };
}

function withoutAbsent(budget: SearchBudget): NonNullable<SearchFile['budget']> {
  return Object.fromEntries(Object.entries(budget).filter(([, limit]) => limit !== undefined));
}
