import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { GATES_SCHEMA } from '../../check/gates.ts';
import { UsageError } from '../../errors.ts';
import { PRUNE_SCHEMA } from '../../prune/prune-settings.ts';
import { POINTS_PATTERN } from '../../quantize/search/budget-options.ts';
import { parseYaml } from '../../recipe/parse-yaml.ts';
import { ACTIVATION_TYPES, CALIBRATORS, DEVICES, TABLE_FORMATS } from '../choices.ts';
import { exportSchema } from './export-settings.ts';

/** Where a config is looked for when none is named, in this order. */
const DEFAULT_LOCATIONS = ['autoglm.yaml', 'configs/autoglm.yaml'];

const calibrateSchema = z.strictObject({
  samples: z.int().min(1).optional().describe('Samples to run; all of the set when absent.'),
  sequenceLength: z.int().min(1).optional().describe('Tokens per text sample.'),
  calibrator: z
    .enum(CALIBRATORS)
    .optional()
    .describe('How ranges are chosen; the recipe decides when absent.'),
  format: z
    .array(z.enum(TABLE_FORMATS))
    .default([])
    .describe("Tables to write too: TensorRT's cache (trt), onnxruntime's (ort)."),
  seed: z
    .int()
    .min(0)
    .optional()
    .describe('Seed of everything random; samples come in their order when absent.'),
});

const quantizeSchema = z.strictObject({
  recipe: z.string().default('w8a8').describe('Name of a built-in recipe, or a YAML file.'),
  activations: z
    .enum(ACTIVATION_TYPES)
    .optional()
    .describe('Element type of what is not quantized; the recipe decides when absent.'),
  maxKl: z
    .number()
    .min(0)
    .optional()
    .describe('Budget of a search: mean KL(source || model) in nats on held-out windows.'),
  maxDrop: z
    .string()
    .regex(POINTS_PATTERN, { error: 'not a number of points, such as 0.5%.' })
    .optional()
    .describe('Budget of a search: loss of top-1 in points, as 0.5% or 0.5pt.'),
  maxPerplexityRatio: z
    .number()
    .positive()
    .optional()
    .describe('Budget of a search: perplexity after / before.'),
  searchSamples: z
    .int()
    .min(1)
    .optional()
    .describe('Held-out windows of a search; 8 of text or 256 others when absent.'),
});

const checkSchema = z.strictObject({
  device: z.enum(DEVICES).default('auto').describe('Where to run; auto is the best that works.'),
  samples: z.int().min(1).optional().describe('Held-out samples; all when absent.'),
  latency: z.boolean().default(true).describe('Whether to time source and artifact.'),
  contextLength: z
    .int()
    .min(1)
    .optional()
    .describe('Tokens that are timed, and the past of the decode step; 128 when absent.'),
  gates: GATES_SCHEMA.optional(),
});

/** Returns the schema of `autoglm.yaml`, which knows the targets there are now. */
const pipelineSchema = () =>
  z.strictObject({
    model: z.string().describe('An .onnx file or a folder with one, relative to this file.'),
    data: z.string().describe('A calibration set, relative to this file.'),
    output: z.string().default('out').describe('Folder of the stages, relative to this file.'),
    prune: PRUNE_SCHEMA.optional().describe('What to remove first; nothing when absent.'),
    calibrate: calibrateSchema.prefault({}),
    quantize: quantizeSchema.prefault({}),
    export: exportSchema().default([]).describe('Artifacts to write, by target; none when absent.'),
    check: checkSchema.prefault({}),
  });

/** A pipeline as its config describes it, with absolute paths. */
export interface PipelineConfig extends z.output<ReturnType<typeof pipelineSchema>> {
  /** The file that the config was read from. */
  readonly path: string;
}

/** Returns the JSON Schema (draft 2020-12) of `autoglm.yaml`, for editors. */
export function pipelineJsonSchema(): Record<string, unknown> {
  return {
    title: 'autoglm pipeline',
    ...z.toJSONSchema(pipelineSchema(), { io: 'input', target: 'draft-2020-12' }),
  };
}

/**
 * Returns the config at `path`, or at the first default location under `folder`. Throws a
 * {@link UsageError} that names line and key, or the places where no config was found.
 */
export async function loadPipelineConfig(
  path: string | undefined,
  folder: string = process.cwd(),
): Promise<PipelineConfig> {
  const found = path === undefined ? await findConfig(folder) : resolve(folder, path);
  const text = await readFile(found, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${found}: cannot be read (${cause.code}). Give a config with --config.`, {
      cause,
    });
  });
  const config = parseYaml(text, pipelineSchema(), found);
  const base = dirname(found);
  const isFile =
    config.quantize.recipe.endsWith('.yaml') || config.quantize.recipe.endsWith('.yml');
  return {
    ...config,
    path: found,
    model: resolve(base, config.model),
    data: resolve(base, config.data),
    output: resolve(base, config.output),
    quantize: {
      ...config.quantize,
      recipe: isFile ? resolve(base, config.quantize.recipe) : config.quantize.recipe,
    },
  };
}

/** Returns how many held-out samples the checks of a config run, where it says so. */
export function heldOut({ check }: PipelineConfig): { readonly heldOutSamples?: number } {
  return check.samples === undefined ? {} : { heldOutSamples: check.samples };
}

async function findConfig(folder: string): Promise<string> {
  for (const location of DEFAULT_LOCATIONS) {
    const path = resolve(folder, location);
    const isFile = await stat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) return path;
  }
  throw new UsageError(
    `${folder}: no model given and no config found (looked for ${DEFAULT_LOCATIONS.join(', ')}). ` +
      'Name a model, give --config, or run "autoglm init".',
  );
}
