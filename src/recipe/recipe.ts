import { z } from 'zod';
import type { LinearRole } from '../passes/linear-layer.ts';

/** How one linear layer is computed. */
export const SCHEMES = ['w8a8', 'w8a16', 'float'] as const;

/**
 * `w8a8`: INT8 weights per output channel and INT8 activations per tensor, integer product.
 * `w8a16`: INT8 weights only; activations stay float. `float`: left as it is.
 */
export type Scheme = (typeof SCHEMES)[number];

/** Ways to choose the range of an activation; `auto` takes the one with the best SQNR per tensor. */
export const CALIBRATORS = ['minmax', 'percentile', 'entropy', 'mse', 'auto'] as const;

/** Name of a range method. */
export type CalibratorName = (typeof CALIBRATORS)[number];

/** The roles of linear layers that a rule may ask for. */
export const ROLES = [
  'q',
  'k',
  'v',
  'qkv',
  'attention-output',
  'gate',
  'up',
  'gate-up',
  'down',
  'ffn-in',
  'embedding-projection',
  'head',
  'other',
] as const satisfies readonly LinearRole[];

const schemeSchema = z.enum(SCHEMES);

const matchSchema = z.string().refine(isRegularExpression, {
  error: (issue) => `not a regular expression (got ${JSON.stringify(issue.input)}).`,
});

const ruleSchema = z
  .strictObject({
    match: matchSchema.optional().describe('Regular expression, searched in the layer name.'),
    op: z.enum(['MatMul', 'Gemm', 'Conv']).optional().describe('Operator that spells the layer.'),
    role: z.enum(ROLES).optional().describe('What the layer does in its transformer block.'),
    scheme: schemeSchema.describe('What to do with the layers for which all conditions hold.'),
  })
  .refine((rule) => (rule.match ?? rule.op ?? rule.role) !== undefined, {
    error: 'a rule needs at least one of match, op, role.',
  });

const weightsSchema = z.strictObject({
  bits: z.literal(8).default(8),
  granularity: z.literal('channel').default('channel'),
  symmetric: z.literal(true).default(true),
});

const activationsSchema = z.strictObject({
  bits: z.literal([8, 'float']).default(8).describe('8, or "float" for weight-only.'),
  symmetric: z
    .boolean()
    .default(false)
    .describe('Zero point in the middle of the integer range. TensorRT is always symmetric.'),
  calibrator: z.enum(CALIBRATORS).default('auto'),
  dtype: z
    .enum(['float32', 'float16'])
    .default('float32')
    .describe('Element type of what is not quantized: float32 for CPU and web.'),
});

/** Schema of a recipe file. Absent settings take the defaults of `w8a8`. */
export const RECIPE_SCHEMA = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, {
    error: 'a name is lower-case letters, digits, dots, dashes and underscores.',
  }),
  description: z.string().default(''),
  weights: weightsSchema.prefault({}),
  activations: activationsSchema.prefault({}),
  embedding: z
    .enum(['int8', 'float'])
    .default('int8')
    .describe('Token tables: one INT8 scale per row, or left float.'),
  head: z
    .enum(['weight-only', 'float', 'w8a8'])
    .default('weight-only')
    .describe('The product that makes the logits.'),
  rules: z
    .array(ruleSchema)
    .default([])
    .describe('Exceptions for linear layers; the last one that matches wins.'),
});

/** What to do with each linear layer and token table of a model. Plain data. */
export type Recipe = z.output<typeof RECIPE_SCHEMA>;

/** One exception of a recipe. */
export type RecipeRule = Recipe['rules'][number];

/** Returns the scheme of layers that no rule matches and that are not the head. */
export function defaultScheme(recipe: Recipe): Scheme {
  return recipe.activations.bits === 'float' ? 'w8a16' : 'w8a8';
}

/** Returns the JSON Schema (draft 2020-12) of recipe files, for editors. */
export function recipeJsonSchema(): Record<string, unknown> {
  return {
    title: 'autoglm recipe',
    ...z.toJSONSchema(RECIPE_SCHEMA, { io: 'input', target: 'draft-2020-12' }),
  };
}

function isRegularExpression(text: string): boolean {
  try {
    new RegExp(text, 'u');
    return true;
  } catch {
    return false;
  }
}
