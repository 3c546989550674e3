import { z } from 'zod';
import { FormatError } from '../errors.ts';
import { type DataType, isKnownDataType } from '../ir/data-type.ts';
import { chooseSymmetricScale } from '../numerics/affine.ts';
import { parseRecord } from '../parse-record.ts';
import { byScheme, CALIBRATORS, RECIPE_SCHEMA, SCHEMES } from '../recipe/recipe.ts';
import { LINEAR_ROLES } from '../structure/linear-layer.ts';
import { NEVER_REACHED } from './judge-ranges.ts';
import type { ActivationRange, ActivationRanges, QuantizationPlan } from './quantization-plan.ts';

/** Version of the layout. A reader refuses versions it does not know. */
const QUANTIZATION_FILE_VERSION = 2;

const count = z.int().nonnegative();
const dataTypeSchema = z.custom<DataType>(
  (value) =>
    typeof value === 'string' && (isKnownDataType(value as DataType) || /^type\d+$/.test(value)),
);
const methodSchema = z.enum(CALIBRATORS).exclude(['auto']);
const rangeSchema = z.strictObject({ min: z.number(), max: z.number(), calibrator: methodSchema });

const weightSchema = z.strictObject({
  initializer: z.string(),
  dims: z.array(count),
  dataType: dataTypeSchema,
  bytesBefore: count,
  bytesAfter: count,
  blockSize: z.literal([32, 64, 128]).optional(),
});

const layerSchema = z.strictObject({
  name: z.string(),
  node: z.string(),
  op: z.string(),
  role: z.enum(LINEAR_ROLES),
  scheme: z.enum(SCHEMES),
  reason: z.string().optional(),
  body: z.string().optional(),
  form: z.enum(['MatMulIntegerToFloat', 'DynamicQuantizeMatMul', 'QGemm', 'MatMulNBits', 'float']),
  inFeatures: count,
  outFeatures: count,
  weight: weightSchema,
  activation: rangeSchema
    .extend({
      tensor: z.string(),
      dataType: z.literal('uint8'),
      scale: z.number().positive(),
      zeroPoint: z.int().min(0).max(255),
    })
    .optional(),
});

const embeddingSchema = z.strictObject({
  name: z.string(),
  node: z.string(),
  scheme: z.enum(['int8', 'float']),
  reason: z.string().optional(),
  table: weightSchema,
});

const smoothingSchema = z.strictObject({
  sites: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(['norm', 'up', 'value']),
      purpose: z.enum(['activations', 'weights']),
      alpha: z.number().min(0).max(1),
      into: z.string(),
      layers: z.array(z.string()),
      scales: z.base64(),
    }),
  ),
  declined: z.array(z.strictObject({ node: z.string(), reason: z.string() })),
});

/** Layers of each scheme; a file of before a scheme was there has none of it. */
export const layerCountsSchema = z.strictObject(byScheme(() => count.default(0)));

const planSchema = z.strictObject({
  recipe: RECIPE_SCHEMA,
  layers: z.array(layerSchema),
  embeddings: z.array(embeddingSchema),
  smoothing: smoothingSchema.optional(),
  unmatchedRules: z.array(z.string()),
  totals: z.strictObject({
    bytesBefore: count,
    bytesAfter: count,
    linearBytesBefore: count,
    linearBytesAfter: count,
    quantizedShare: z.number(),
    floatBytes: z.record(z.string(), count).optional(),
    layers: layerCountsSchema,
  }),
});

const fileSchema = z.strictObject({
  version: z.literal(QUANTIZATION_FILE_VERSION),
  sourceHash: z.string(),
  plan: planSchema,
  scaleTable: z.record(z.string(), rangeSchema.extend({ symmetricScale: z.number().positive() })),
});

/** One calibrated activation of the float source: what every target's scales are made from. */
interface ScaleTableEntry extends ActivationRange {
  /** max(|min|, |max|) / 127 in float32: the INT8 scale of TensorRT. */
  readonly symmetricScale: number;
}

/** `quantization.json`: a plan and the ranges behind it, the same for every target. */
export interface QuantizationFile {
  readonly version: typeof QUANTIZATION_FILE_VERSION;
  /** Hash of the float source model, as the manifest has it. */
  readonly sourceHash: string;
  readonly plan: QuantizationPlan;
  /** By value name, sorted; without values that calibration never reached. */
  readonly scaleTable: Readonly<Record<string, ScaleTableEntry>>;
}

/** Returns the contents of `quantization.json` for a plan made from `ranges`. */
export function quantizationFile(
  plan: QuantizationPlan,
  ranges: ActivationRanges,
  sourceHash: string,
): QuantizationFile {
  const isKnown = ({ unfit }: ActivationRange): boolean => unfit !== NEVER_REACHED;
  const names = [...ranges.keys()].filter((name) => isKnown(ranges.get(name)!)).sort();
  const entries = names.map((name): [string, ScaleTableEntry] => {
    const { min, max, calibrator } = ranges.get(name)!;
    const amax = Math.max(Math.abs(min), Math.abs(max));
    const symmetricScale = chooseSymmetricScale(amax, 127, 'float32');
    return [name, { min, max, calibrator, symmetricScale }];
  });
  const scaleTable = Object.fromEntries(entries);
  return { version: QUANTIZATION_FILE_VERSION, sourceHash, plan, scaleTable };
}

/** Returns the JSON text of the file: two-space indents, a final newline, no dates. */
export function serializeQuantizationFile(file: QuantizationFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Reads `quantization.json`. `where` (a path) leads every message. Throws {@link FormatError}. */
export function parseQuantizationFile(text: string, where: string): QuantizationFile {
  const what = `a quantization file of version ${QUANTIZATION_FILE_VERSION}`;
  return parseRecord(text, fileSchema, { where, what, cure: 'Quantize again.' });
}
