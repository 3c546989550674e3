import { z } from 'zod';
import { GROUP_KINDS } from './group.ts';

/** Names of the scores in `importance/`, for options and configs. */
export const IMPORTANCE_NAMES = ['l1', 'l2', 'group-l1', 'wanda', 'obs', 'bn-scale'] as const;

/** Name of a score. */
export type ImportanceName = (typeof IMPORTANCE_NAMES)[number];

/** How what is removed is made up for. */
export const RECOVERIES = ['none', 'bias', 'ls'] as const;

/** A way to make up for what is removed. */
export type Recovery = Exclude<(typeof RECOVERIES)[number], 'none'>;

/** How much is proven of the cut model. */
export const VERIFICATIONS = ['full', 'fast', 'none'] as const;

/** Schema of the section `prune:` of a config. */
export const PRUNE_SCHEMA = z.strictObject({
  amount: z
    .number()
    .min(0)
    .max(0.95)
    .optional()
    .describe(
      'Share of the channels and heads of each layer that goes; without it 0.1 or, with a limit, the most that holds it.',
    ),
  maxKl: z.number().min(0).optional().describe('Largest mean KL of the pruned model, in nats.'),
  maxDrop: z
    .string()
    .regex(/^\d+(\.\d+)?\s*(pt|%)$/)
    .optional()
    .describe('Largest loss of top-1 in points: 0.5pt (same as 0.5%).'),
  maxPerplexityRatio: z.number().positive().optional().describe('Perplexity after / before.'),
  targets: z
    .array(z.enum(GROUP_KINDS))
    .min(1)
    .default([...GROUP_KINDS])
    .describe('What may go: ffn channels, attention heads, channels of convolutions.'),
  importance: z
    .enum(IMPORTANCE_NAMES)
    .optional()
    .describe('How channels are ranked; obs with calibration data, l1 without, when absent.'),
  recover: z
    .enum(RECOVERIES)
    .optional()
    .describe(
      'How the rest makes up for what goes: ls (least squares) with data, when absent; bias: by means alone.',
    ),
  align: z
    .union([z.literal('auto'), z.int().min(1)])
    .default('auto')
    .describe('Multiple that widths are rounded to; auto is 128, 64 or 8 by size.'),
  exact: z.boolean().default(false).describe('Keep the count of torch, not an aligned one.'),
  scope: z
    .enum(['local', 'global'])
    .default('local')
    .describe('Rank in each layer by itself, or among all layers.'),
  allocate: z
    .enum(['uniform', 'search'])
    .default('uniform')
    .describe('The same share of every layer, or more where less KL is measured.'),
  layers: z
    .string()
    .regex(/^\d+(-\d+)?$/, { error: 'is no range of layers such as 4-29.' })
    .optional()
    .describe('Layers that may lose channels, as first-last; all when absent.'),
  protectFirst: z.int().min(0).default(0).describe('Layers at the start that lose nothing.'),
  protectLast: z.int().min(0).default(0).describe('Layers at the end that lose nothing.'),
  verify: z
    .enum(VERIFICATIONS)
    .default('full')
    .describe('full: the cut model equals the masked original; fast: shapes and loading.'),
});

/** What to prune and how. */
export type PruneSettings = z.output<typeof PRUNE_SCHEMA>;

/** Share that goes when nothing is said, and the largest that is tried to hold a limit. */
const AMOUNT = { usual: 0.1, mostTried: 0.5 } as const;

/** Says whether the share is to be found: there is a limit and no share. */
export function findsAmount({
  amount,
  maxKl,
  maxDrop,
  maxPerplexityRatio,
}: PruneSettings): boolean {
  const limits = [maxKl, maxDrop, maxPerplexityRatio];
  return amount === undefined && limits.some((limit) => limit !== undefined);
}

/** Returns the share that goes or, where it is to be found, the largest that is tried. */
export function amountOf(settings: PruneSettings): number {
  return settings.amount ?? (findsAmount(settings) ? AMOUNT.mostTried : AMOUNT.usual);
}
