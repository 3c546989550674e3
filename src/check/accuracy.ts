import type { Sample } from '../calibrate/sample.ts';
import { asMisfit, UsageError } from '../errors.ts';
import { isFloatDataType } from '../ir/data-type.ts';
import { float16ArrayToFloat32 } from '../numerics/float16.ts';
import type { Session, SessionValue } from '../runners/runner.ts';
import type { Feeds, TensorValue } from '../values/tensor-value.ts';
import type { Accuracy } from './check-result.ts';
import {
  mergeClassification,
  observeClassification,
  summarizeClassification,
} from './classification-sums.ts';
import {
  addToDomain,
  type LogitSums,
  mergeLogits,
  NO_LOGITS,
  summarizeDomains,
} from './domain-sums.ts';
import {
  mergeLanguageModel,
  observeLanguageModel,
  summarizeLanguageModel,
  type TokenBatch,
} from './language-model-sums.ts';
import {
  mergeSimilarity,
  NO_SIMILARITY,
  observeSimilarity,
  type SimilaritySums,
  summarizeSimilarity,
} from './similarity-sums.ts';

/** One held-out sample, and the feeds made of it for each model: their inputs may differ in type. */
export interface PairedSample {
  readonly sample: Pick<Sample, 'values' | 'label' | 'domain'>;
  readonly source: Feeds;
  readonly artifact: Feeds;
}

/** What {@link compareAccuracy} compares. */
export interface AccuracyOptions {
  readonly source: Session;
  readonly artifact: Session;
  /** Read one at a time; nothing but sums is kept of a sample. */
  readonly samples: AsyncIterable<PairedSample>;
  /** Outputs to compare; every floating-point output that both models have, when absent. */
  readonly outputs?: readonly string[];
  /** The output that holds logits; the first whose name contains `logits`, when absent. */
  readonly logits?: string;
  /** The file of the source, for messages. */
  readonly name?: string;
  /** Called after each sample with the number done. */
  readonly onSample?: (done: number) => void;
}

/**
 * Runs both models on the same samples and returns how far the artifact is from the source:
 * similarity of every shared output, next-token figures of logits [batch, sequence, vocabulary]
 * (judged by the sample's `input_ids`), class figures of logits [batch, classes] (judged by its label).
 * Throws UsageError when the models share no output, shapes differ, or there is no sample.
 */
export async function compareAccuracy(options: AccuracyOptions): Promise<Accuracy> {
  const names = sharedOutputs(options);
  const logits = options.logits ?? names.find((name) => name.toLowerCase().includes('logits'));
  let sums = emptySums(names);
  let done = 0;
  for await (const pair of options.samples) {
    const source = await options.source.run(pair.source, names).catch((error: unknown) => {
      throw asMisfit(error, options.name ?? 'source', done);
    });
    const artifact = await options.artifact.run(pair.artifact, names);
    try {
      sums = observe(sums, { source, artifact, sample: pair.sample, logits });
    } catch (error) {
      if (error instanceof Error) error.message = `sample ${done}: ${error.message}`;
      throw error;
    }
    done++;
    options.onSample?.(done);
  }
  if (done === 0) {
    throw new UsageError(
      'check: there is no held-out sample (got 0, expected at least 1). Add files under "heldOut" of the data set.',
    );
  }
  const judged = logits ?? names[0] ?? '';
  return {
    samples: done,
    outputs: [...sums.outputs].map(([name, output]) => summarizeSimilarity(name, output)),
    languageModel: summarizeLanguageModel(judged, sums.logits.languageModel),
    classification: summarizeClassification(judged, sums.logits.classification),
    domains: summarizeDomains(judged, sums.domains),
  };
}

interface Sums {
  readonly outputs: ReadonlyMap<string, SimilaritySums>;
  readonly logits: LogitSums;
  readonly domains: ReadonlyMap<string, LogitSums>;
}

interface Observation {
  readonly source: Feeds;
  readonly artifact: Feeds;
  readonly sample: PairedSample['sample'];
  readonly logits: string | undefined;
}

function emptySums(names: readonly string[]): Sums {
  return {
    outputs: new Map(names.map((name) => [name, NO_SIMILARITY])),
    logits: NO_LOGITS,
    domains: new Map(),
  };
}

function observe(sums: Sums, observation: Observation): Sums {
  const { sample, logits } = observation;
  const labels = sample.label === undefined ? undefined : [sample.label];
  let { languageModel, classification } = NO_LOGITS;
  const outputs = new Map<string, SimilaritySums>();
  for (const [name, before] of sums.outputs) {
    const { source, artifact, dims } = outputPair(name, observation);
    const rowMask = paddingOf(sample, dims);
    const pair = { source, artifact, dims, ...(rowMask !== undefined && { rowMask }) };
    outputs.set(name, mergeSimilarity(before, observeSimilarity(pair)));
    if (dims.length === 2 && (name === logits || isOnlyOutput(sums, sample.label))) {
      const rows = observeClassification({ source, artifact, dims }, labels);
      classification = mergeClassification(classification, rows);
    }
    const tokens = dims.length === 3 && name === logits ? tokensOf(sample) : undefined;
    if (tokens !== undefined) {
      const positions = observeLanguageModel({ source, artifact, dims }, tokens);
      languageModel = mergeLanguageModel(languageModel, positions);
    }
  }
  const own = { samples: 1, languageModel, classification };
  return {
    outputs,
    logits: mergeLogits(sums.logits, own),
    domains: addToDomain(sums.domains, sample.domain, own),
  };
}

/** Labelled data and a single output: the output is class logits, whatever its name. */
function isOnlyOutput(sums: Sums, label: number | undefined): boolean {
  return sums.outputs.size === 1 && label !== undefined;
}

/** The token ids of a text sample, the last axis counting those of a row; undefined when it has none. */
function tokensOf(sample: PairedSample['sample']): TokenBatch | undefined {
  const ids = sample.values.get('input_ids');
  if (ids === undefined) return undefined;
  const mask = sample.values.get('attention_mask');
  return {
    length: ids.dims.at(-1) ?? 1,
    ids: ids.data,
    ...(mask?.data.length === ids.data.length && { mask: mask.data }),
  };
}

/** The attention mask of a sample when an output [batch, tokens, width] has a row for each of its positions. */
function paddingOf(
  { values }: PairedSample['sample'],
  dims: readonly number[],
): ArrayLike<number | bigint> | undefined {
  const mask = values.get('attention_mask')?.data;
  const [batch = 0, tokens = 0] = dims;
  return dims.length === 3 && mask?.length === batch * tokens ? mask : undefined;
}

function outputPair(
  name: string,
  { source, artifact }: Observation,
): { source: Float32Array; artifact: Float32Array; dims: readonly number[] } {
  const a = source.get(name);
  const b = artifact.get(name);
  if (a === undefined || b === undefined) {
    const which = a === undefined ? 'source' : 'artifact';
    throw new UsageError(`output ${name}: the ${which} did not return it. Check the model files.`);
  }
  if (a.dims.join() !== b.dims.join()) {
    throw new UsageError(
      `output ${name}: shapes differ (got [${b.dims}] from the artifact, expected [${a.dims}] as from the source). ` +
        'Compare an artifact with the model it was made from.',
    );
  }
  return { source: toFloat32(a, name), artifact: toFloat32(b, name), dims: a.dims };
}

function toFloat32({ data, dataType }: TensorValue, name: string): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  if (data instanceof Uint16Array && dataType === 'float16') return float16ArrayToFloat32(data);
  throw new UsageError(`output ${name}: cannot be compared (got ${dataType}, expected a float).`);
}

/** Floating-point outputs of the artifact whose name and fixed dims the source has too. */
function sharedOutputs({ source, artifact, outputs }: AccuracyOptions): readonly string[] {
  const ofSource = new Map(source.outputs.map((output) => [output.name, output]));
  const shared = artifact.outputs.filter((output) => {
    const other = ofSource.get(output.name);
    return other !== undefined && isComparable(output, other);
  });
  const names = shared.map(({ name }) => name);
  const missing = outputs?.filter((name) => !names.includes(name)) ?? [];
  if (missing.length > 0 || names.length === 0) {
    throw new UsageError(
      `check: source and artifact do not share ${missing.length > 0 ? `the output ${missing.join(', ')}` : 'a floating-point output'} ` +
        `(got ${list(artifact.outputs)} from the artifact, expected ${list(source.outputs)} as from the source). ` +
        'Compare an artifact with the model it was made from.',
    );
  }
  return outputs ?? names;
}

/** Pruned heads change the fixed dims of key and value outputs: those cannot be compared. */
function isComparable(a: SessionValue, b: SessionValue): boolean {
  const sameDims =
    a.dims.length === b.dims.length &&
    a.dims.every((dim, axis) => {
      const other = b.dims[axis] ?? -1;
      return !isFixed(dim) || !isFixed(other) || dim === other;
    });
  return sameDims && isFloatDataType(a.dataType) && isFloatDataType(b.dataType);
}

function isFixed(dim: number | string): boolean {
  return typeof dim === 'number' && dim >= 0;
}

function list(values: readonly SessionValue[]): string {
  return values.map(({ name, dataType, dims }) => `${name} ${dataType}[${dims}]`).join(', ');
}
