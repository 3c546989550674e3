import { z } from 'zod';
import { parseYaml } from '../../recipe/parse-yaml.ts';

const positive = z.int().positive();
const files = z
  .array(z.string().min(1))
  .describe('Files or folders, relative to dataset.yaml and inside its folder.');
const common = {
  files: files.min(1).describe('What calibration reads.'),
  heldOut: files.default([]).describe('What check reads; never reaches calibration.'),
  samples: positive.optional().describe('Calibration samples to use, spread evenly; default all.'),
};

const textFile = z.union([
  z.string().min(1),
  z.strictObject({
    path: z.string().min(1),
    domain: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]*$/, {
        error: 'a domain is lower-case letters, digits and dashes.',
      })
      .describe('The kind of text: check reports each kind by itself.'),
    weight: z
      .number()
      .positive()
      .default(1)
      .describe('How many samples are chosen, as against other domains.'),
  }),
]);
const textFiles = z
  .array(textFile)
  .describe(
    'Files or folders inside the folder of dataset.yaml, with the kind of text that they hold.',
  );

const textSchema = z.strictObject({
  kind: z.literal('text'),
  ...common,
  files: textFiles.min(1).describe('What calibration reads, some of every domain.'),
  heldOut: textFiles.default([]).describe('What check reads; never reaches calibration.'),
  tokenizer: z
    .string()
    .optional()
    .describe("A tokenizer.json, or 'bytes': ids are the UTF-8 bytes. Default: the model's."),
  sequenceLength: positive.default(256).describe('Tokens per sample.'),
});

const imagesSchema = z.strictObject({
  kind: z.literal('images'),
  ...common,
  labels: z
    .string()
    .optional()
    .describe("Lines 'file class', or one class per line in the order of heldOut."),
  resize: z
    .union([positive, z.tuple([positive, positive])])
    .optional()
    .describe('Size to resize to, [height, width] or one number; with crop, the shorter edge.'),
  crop: positive.optional().describe('Side of the square cut from the centre.'),
  resample: z.enum(['nearest', 'bilinear', 'bicubic', 'lanczos']).optional(),
  channels: z.union([z.literal(1), z.literal(3)]).optional(),
  layout: z.enum(['NCHW', 'NHWC']).default('NCHW'),
  rescale: z.number().positive().optional().describe('Factor for bytes; default 1/255.'),
  mean: z.array(z.number()).min(1).max(3).optional().describe('Per channel, after rescaling.'),
  std: z.array(z.number().positive()).min(1).max(3).optional(),
});

const tensorsSchema = z.strictObject({
  kind: z.literal('tensors'),
  ...common,
  labels: z.string().optional().describe('Name of the array that holds classes.'),
});

/** The grammar of `dataset.yaml`. */
export const datasetSchema: z.ZodType<DatasetDescription> = z.discriminatedUnion('kind', [
  textSchema,
  imagesSchema,
  tensorsSchema,
]);

/** A text file as described: a path, or a path with its domain. */
export type TextFile = z.output<typeof textFile>;
/** A text data set as described. */
export type TextDescription = z.output<typeof textSchema>;
/** An image data set as described. */
export type ImagesDescription = z.output<typeof imagesSchema>;
/** A tensor data set as described. */
type TensorsDescription = z.output<typeof tensorsSchema>;
/** What `dataset.yaml` says, defaults filled in. */
export type DatasetDescription = TextDescription | ImagesDescription | TensorsDescription;

/** Returns the JSON Schema (draft 2020-12) of `dataset.yaml`, for editors. */
export function datasetJsonSchema(): Record<string, unknown> {
  return {
    title: 'autoglm data set',
    ...z.toJSONSchema(datasetSchema, { io: 'input', target: 'draft-2020-12' }),
  };
}

const kindSchema = z.looseObject({ kind: z.enum(['text', 'images', 'tensors']) });

/** Returns the description in a `dataset.yaml`. Throws UsageError with file, line and key. */
export function parseDataset(text: string, where: string): DatasetDescription {
  const { kind } = parseYaml(text, kindSchema, where);
  // By kind, so that an unknown key is compared with the keys of this kind alone.
  if (kind === 'text') return parseYaml(text, textSchema, where);
  if (kind === 'images') return parseYaml(text, imagesSchema, where);
  return parseYaml(text, tensorsSchema, where);
}
