/**
 * `calibration.json`: what the calibration passes saw of each tensor and the INT8 scale table made
 * from it. Statistics are kept whole, so that shards can be merged and another range method or
 * recipe tried without running the model again.
 */
import { z } from 'zod';
import { FormatError, UsageError } from '../errors.ts';
import { parseJson } from '../parse-record.ts';
import { makeScaleTable, type ScaleTable } from './scale-table.ts';
import { mergeStatistics, type TensorStatistics } from './statistics.ts';
import {
  STATISTICS_RECORD,
  statisticsFromRecord,
  statisticsToRecord,
} from './statistics-record.ts';

const VERSION = 'autoglm.calibration/1';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not 64 lower-case hexadecimal digits');
const dataSchema = z.strictObject({
  sha256,
  domains: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Kinds of text that were read, where the data set names kinds.'),
});
const optionsSchema = z.strictObject({
  calibrator: z.string().describe('Range method of the scale table.'),
  seed: z.int(),
  sequenceLength: z.int().positive().optional().describe('Tokens of a text sample.'),
});
const scaleSchema = z.strictObject({
  method: z.string().describe('With calibrator auto, the method that won.'),
  min: z.number(),
  max: z.number(),
  scale: z.number().positive(),
  zeroPoint: z.int(),
});

/** Schema of `calibration.json`. */
const CALIBRATION_SCHEMA = z.strictObject({
  schema: z.literal(VERSION),
  model: z.strictObject({ sha256 }),
  data: dataSchema,
  options: optionsSchema,
  samples: z.array(z.int().nonnegative()).describe('Indices of the samples seen, ascending.'),
  scales: z
    .record(z.string(), z.strictObject({ int8: scaleSchema, uint8: scaleSchema }))
    .describe('Of every tensor in which calibration saw anything but zeros.'),
  tensors: z.record(z.string(), STATISTICS_RECORD),
});

/** Returns the JSON Schema (draft 2020-12) of `calibration.json`. */
export function calibrationJsonSchema(): Record<string, unknown> {
  return {
    title: 'autoglm calibration',
    ...z.toJSONSchema(CALIBRATION_SCHEMA, { io: 'input', target: 'draft-2020-12' }),
  };
}

/** Settings that change what is seen or the scales made of it. */
export type CalibrationOptions = Readonly<z.infer<typeof optionsSchema>>;

/** The identity of a calibration: shards of one calibration differ in `samples` only. */
export interface CalibrationRun {
  /** SHA-256 of model and data set, in hexadecimal. */
  readonly model: { readonly sha256: string };
  readonly data: { readonly sha256: string; readonly domains?: readonly string[] | undefined };
  readonly options: CalibrationOptions;
  /** Indices of the samples seen, in any order. */
  readonly samples: readonly number[];
}

/** The contents of `calibration.json`. */
export interface CalibrationFile extends CalibrationRun {
  readonly tensors: ReadonlyMap<string, TensorStatistics>;
  readonly scales: ScaleTable;
}

/**
 * Returns the calibration of a run with its scale table. Throws RangeError when a tensor was not
 * observed exactly once in every sample, because its range would then stand for other data.
 */
export function createCalibration(
  run: CalibrationRun,
  tensors: ReadonlyMap<string, TensorStatistics>,
): CalibrationFile {
  for (const [name, { sampleCount }] of tensors) {
    if (sampleCount !== run.samples.length) {
      throw new RangeError(
        `calibration: ${name} was observed ${sampleCount} times in ${run.samples.length} samples`,
      );
    }
  }
  const { model, data, options } = run;
  return {
    model,
    data,
    options,
    samples: [...run.samples].sort((first, second) => first - second),
    tensors,
    scales: makeScaleTable(tensors, options.calibrator),
  };
}

/** Returns the text of `calibration.json`: keys sorted, a tensor to a line, equal values as equal bytes. */
export function serialiseCalibration(calibration: CalibrationFile): string {
  const { model, data, options, samples, scales, tensors } = calibration;
  const records = [...tensors].map(
    ([name, statistics]) => [name, statisticsToRecord(statistics)] as const,
  );
  return `{
"data": ${sortedJson(data)},
"model": ${sortedJson(model)},
"options": ${sortedJson(options)},
"samples": ${sortedJson(samples)},
"scales": ${byLine([...scales])},
"schema": ${sortedJson(VERSION)},
"tensors": ${byLine(records)}
}
`;
}

/** Reads `calibration.json`; `where` is its path, for errors. Throws FormatError when it is anything else. */
export function parseCalibration(text: string, where: string): CalibrationFile {
  const json = parseJson(text, { where, cure: 'Run autoglm calibrate again.' });
  const schema = (json as { schema?: unknown } | null)?.schema;
  if (schema !== VERSION) {
    throw new FormatError(
      `${where}: not a calibration that this version reads (got schema ${JSON.stringify(schema)}, ` +
        `expected "${VERSION}"). Run autoglm calibrate again.`,
    );
  }
  const parsed = CALIBRATION_SCHEMA.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new FormatError(
      `${where}: ${issue.path.join('.')}: ${issue.message}. Run autoglm calibrate again.`,
    );
  }
  const { model, data, options, samples, scales, tensors } = parsed.data;
  return {
    model,
    data,
    options,
    samples,
    scales: new Map(Object.entries(scales)),
    tensors: new Map(
      Object.entries(tensors).map(([name, record]) => [name, statisticsFromRecord(record)]),
    ),
  };
}

/**
 * Returns the calibration of the samples of both shards: the same bytes as one run over all of
 * them. Throws UsageError when they are not shards of one calibration, or saw a sample twice.
 */
export function mergeCalibrations(
  first: CalibrationFile,
  second: CalibrationFile,
): CalibrationFile {
  requireEqual('models', first.model.sha256, second.model.sha256);
  requireEqual('data sets', first.data.sha256, second.data.sha256);
  requireEqual('options', sortedJson(first.options), sortedJson(second.options));
  requireEqual('tensors', difference(first, second), difference(second, first));
  const seen = new Set(first.samples);
  const twice = second.samples.find((index) => seen.has(index));
  if (twice !== undefined) {
    throw new UsageError(
      `merge: both calibrations saw sample ${twice}. Merge shards of different samples.`,
    );
  }
  const tensors = new Map(
    [...first.tensors].map(([name, statistics]) => [
      name,
      mergeStatistics(statistics, second.tensors.get(name)!),
    ]),
  );
  return createCalibration({ ...first, samples: [...first.samples, ...second.samples] }, tensors);
}

/** Says which tensor of `one` the other does not have, or 'none'. */
function difference(one: CalibrationFile, other: CalibrationFile): string {
  return [...one.tensors.keys()].sort().find((name) => !other.tensors.has(name)) ?? 'none';
}

function requireEqual(what: string, first: string, second: string): void {
  if (first === second) return;
  throw new UsageError(
    `merge: the calibrations are of different ${what} (got ${first} and ${second}). ` +
      'Merge only shards of one calibration.',
  );
}

function byLine(entries: readonly (readonly [string, unknown])[]): string {
  const lines = [...entries]
    .sort(([first], [second]) => (first < second ? -1 : 1))
    .map(([name, value]) => `${JSON.stringify(name)}: ${sortedJson(value)}`);
  return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n}`;
}

/** JSON with the keys of every object in ascending order of UTF-16 code units. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
