import { z } from 'zod';
import { LINEAR_ROLES } from '../structure/linear-layer.ts';

/** How one linear layer is computed. */
export const SCHEMES = ['w8a8', 'w8a8x2', 'w8a8-dynamic', 'w8a16', 'w4a16', 'float'] as const;

/**
 * `w8a8`: INT8 weights per output channel and INT8 activations per tensor, integer product.
 * `w8a8x2`: the same with activations in two planes of 8 bits, coarse and residual, and two integer products.
 * `w8a8-dynamic`: as `w8a8` with a scale per run, from the extremes of the activation itself.
 * `w8a16`: INT8 weights only; activations stay float. `w4a16`: 4-bit weights in blocks of input
 * features, see {@link Int4Settings}. `float`: left as it is.
 */
export type Scheme = (typeof SCHEMES)[number];

/** Returns a value for each scheme: the one place where figures by scheme are laid out. */
export function byScheme<T>(of: (scheme: Scheme) => T): Readonly<Record<Scheme, T>> {
  return Object.fromEntries(SCHEMES.map((scheme) => [scheme, of(scheme)])) as Record<Scheme, T>;
}

/** Says whether a scheme has INT8 activations. */
export function isIntegerScheme(scheme: Scheme): boolean {
  return isCalibratedScheme(scheme) || scheme === 'w8a8-dynamic';
}

/** Says whether a scheme has INT8 activations whose range calibration must have found. */
export function isCalibratedScheme(scheme: Scheme): boolean {
  return scheme === 'w8a8' || scheme === 'w8a8x2';
}

/** Ways to choose the range of an activation; `auto` takes the one with the best SQNR per tensor. */
export const CALIBRATORS = ['minmax', 'percentile', 'entropy', 'mse', 'auto'] as const;

/** Name of a range method. */
export type CalibratorName = (typeof CALIBRATORS)[number];

const schemeSchema = z.enum(SCHEMES);

const matchSchema = z.string().refine(isRegularExpression, {
  error: (issue) => `not a regular expression (got ${JSON.stringify(issue.input)}).`,
});

const ruleSchema = z
  .strictObject({
    match: matchSchema.optional().describe('Regular expression, searched in the layer name.'),
    op: z.enum(['MatMul', 'Gemm', 'Conv']).optional().describe('Operator that spells the layer.'),
    role: z.enum(LINEAR_ROLES).optional().describe('What the layer does in its transformer block.'),
    scheme: schemeSchema.describe('What to do with the layers for which all conditions hold.'),
  })
  .refine((rule) => (rule.match ?? rule.op ?? rule.role) !== undefined, {
    error: 'a rule needs at least one of match, op, role.',
  });

const weightsSchema = z
  .strictObject({
    bits: z.literal([8, 4]).default(8).describe('4 goes with float activations: scheme w4a16.'),
    granularity: z
      .enum(['channel', 'block'])
      .default('channel')
      .describe(
        'What shares a scale: an output channel, or blockSize of its weights. 4-bit weights always ' +
          'come in blocks, 8-bit ones only where activations stay float.',
      ),
    symmetric: z.boolean().default(true).describe('4-bit blocks may have zero points instead.'),
    blockSize: z
      .literal([32, 64, 128])
      .optional()
      .describe('128 for 4 bits and 32 for 8 when absent.'),
    rounding: z
      .enum(['rtn', 'mse', 'gptq'])
      .optional()
      .describe(
        'To nearest, in searched ranges (4 bits alone), or by GPTQ. When absent GPTQ for 4 bits, and for 8 bits beside ' +
          'INT8 activations where that takes a minute or so; 8-bit weights beside float ones are rounded to nearest.',
      ),
    form: z
      .enum(['nbits', 'qdq'])
      .optional()
      .describe('Of 4-bit weights: MatMulNBits (when absent) or DequantizeLinear of opset 21.'),
  })
  .refine(({ bits, granularity }) => bits === 8 || granularity === 'block', {
    error: 'granularity: 4-bit weights come in blocks (expected "block").',
  })
  .refine(({ bits, symmetric }) => bits === 4 || symmetric, {
    error: 'symmetric: weights of 8 bits have no zero points (got false, expected true).',
  });

const activationsSchema = z.strictObject({
  bits: z.literal([8, 'float']).default(8).describe('8, or "float" for weight-only.'),
  dynamic: z
    .boolean()
    .default(false)
    .describe('Scales found in every run instead of calibrated ones: scheme w8a8-dynamic.'),
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

const strengthSchema = z.number().min(0).max(1);

const smoothingSchema = z.union([
  z.literal('none'),
  z.literal('auto').describe('For models of text whose scales fold, none elsewhere.'),
  z.strictObject({
    alpha: strengthSchema.describe('Of INT8 activations: 0 leaves them alone; 0.8 suits most.'),
    downAlpha: strengthSchema
      .optional()
      .describe('Of INT8 inputs of down projections; alpha when absent.'),
    weightOnlyAlpha: strengthSchema
      .optional()
      .describe('Of float inputs of INT8 weights; when absent 0.2, or 0.5 in blocks.'),
  }),
]);

/** Strengths of smoothing, see the recipe schema. */
export interface SmoothingStrengths {
  readonly alpha: number;
  readonly downAlpha: number;
  readonly weightOnlyAlpha: number;
}

/** Best by KL on SmolLM2-135M, over text that was neither calibrated on nor reported. */
const AUTO = { alpha: 0.8, downAlpha: 0.75 } as const;
/** The same; scales of whole channels suffer more from weights that differ from feature to feature. */
const AUTO_WEIGHT_ONLY = { channel: 0.2, block: 0.5 } as const;

/** Returns the strengths that a recipe asks for, defaults filled in; undefined for none. */
export function smoothingStrengths(recipe: Recipe): SmoothingStrengths | undefined {
  const { smoothing, weights } = recipe;
  if (smoothing === 'none') return undefined;
  const weightOnlyAlpha = AUTO_WEIGHT_ONLY[weights.granularity];
  if (smoothing === 'auto') return { ...AUTO, weightOnlyAlpha };
  const { alpha } = smoothing;
  return {
    alpha,
    downAlpha: smoothing.downAlpha ?? alpha,
    weightOnlyAlpha: smoothing.weightOnlyAlpha ?? weightOnlyAlpha,
  };
}

/** Layers with more input features are rounded by `mse`: their Gram matrix would pass 256 MB. */
export const GPTQ_MAX_WIDTH = 8192;

/** How 4-bit weights are cut, rounded and written. */
export interface Int4Settings {
  readonly blockSize: 32 | 64 | 128;
  readonly symmetric: boolean;
  /** To nearest; in ranges searched by output error; or by GPTQ in such ranges. */
  readonly rounding: 'rtn' | 'mse' | 'gptq';
  /** The `MatMulNBits` of onnxruntime, or a blocked DequantizeLinear of opset 21. */
  readonly form: 'nbits' | 'qdq';
}

/** Schema of a recipe file. Absent settings take the defaults of `w8a8`. */
export const RECIPE_SCHEMA = z
  .strictObject({
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
      .enum(['weight-only', 'float', 'w8a8', 'w8a8x2'])
      .default('weight-only')
      .describe('The product that makes the logits.'),
    gatedDown: z
      .enum(['weight-only', 'w8a8', 'w8a8x2'])
      .default('weight-only')
      .describe(
        'Down projections of gated FFNs, whose inputs hold the outliers of language models.',
      ),
    smoothing: smoothingSchema
      .default('auto')
      .describe('Moves the spread of activations into the weights that read them (SmoothQuant).'),
    rules: z
      .array(ruleSchema)
      .default([])
      .describe('Exceptions for linear layers; the last one that matches wins.'),
  })
  .refine(({ weights, activations }) => weights.bits === 8 || activations.bits === 'float', {
    error: 'weights.bits: 4-bit weights need float activations (expected activations.bits: float).',
  });

/** What to do with each linear layer and token table of a model. Plain data. */
export type Recipe = z.output<typeof RECIPE_SCHEMA>;

/** One exception of a recipe. */
export type RecipeRule = Recipe['rules'][number];

/** Returns the scheme of layers that no rule matches and that are not the head. */
export function defaultScheme(recipe: Recipe): Scheme {
  if (recipe.activations.bits === 'float') return recipe.weights.bits === 4 ? 'w4a16' : 'w8a16';
  return recipe.activations.dynamic ? 'w8a8-dynamic' : 'w8a8';
}

/** Returns what a recipe says of its 4-bit weights, defaults filled in. */
export function int4Settings({ weights }: Recipe): Int4Settings {
  const { blockSize = 128, symmetric, rounding = 'gptq', form = 'nbits' } = weights;
  return { blockSize, symmetric, rounding, form };
}

/**
 * Returns how 8-bit weights beside INT8 activations are rounded: `auto` is GPTQ where it is done in a minute or so. Others are
 * rounded to nearest, and so are these beside 4-bit weights of searched ranges (`mse`).
 */
export function int8Rounding({ weights, activations }: Recipe): 'rtn' | 'gptq' | 'auto' {
  if (weights.bits !== 8 || activations.bits !== 8) return 'rtn';
  const { rounding = 'auto' } = weights;
  return rounding === 'mse' ? 'rtn' : rounding;
}

/** Block size of 8-bit weights whose recipe names none: that of onnxruntime's activation blocks. */
export const INT8_BLOCK_SIZE = 32;

/** Returns how many input features share a scale in 8-bit weight-only layers; undefined for all. */
export function weightOnlyBlockSize({ weights }: Recipe): number | undefined {
  const { bits, granularity, blockSize = INT8_BLOCK_SIZE } = weights;
  return bits === 8 && granularity === 'block' ? blockSize : undefined;
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
