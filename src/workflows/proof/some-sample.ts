import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import type { Sample } from '../../calibrate/sample.ts';
import type { Model } from '../../ir/model.ts';
import { findEmbeddings } from '../../structure/find-embeddings.ts';
import { findLinears } from '../../structure/find-linears.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import { type DataChoice, openData } from '../project/open-data.ts';

/** Tokens of a text that is made up, and as many as a comparison of graphs needs. */
export const SAMPLE_TOKENS = 32;

/**
 * Returns the first calibration sample of the data set that was chosen or, without one, a sample that is made up:
 * what is wrong in a graph is wrong for all samples or none.
 */
export async function someSample(
  source: ModelOnDisk,
  model: Model,
  choice: DataChoice | undefined,
): Promise<Sample> {
  if (choice === undefined) return madeUpSample(model);
  const dataset = await openData({ ...choice, samples: 1 }, source);
  for await (const sample of dataset.samples('calibration')) return sample;
  return madeUpSample(model);
}

/** Token ids spread over the vocabulary, or waves in [-1, 1] for inputs of fixed size. */
function madeUpSample(model: Model): Sample {
  const [table] = findEmbeddings(model, findLinears(model));
  const vocabulary = table?.table.dims[0] ?? 2;
  const values = new Map<string, TensorValue>();
  for (const { name, dataType, dims } of feedInputs(model.graph)) {
    const fixed = dims.slice(1).filter((dim) => typeof dim === 'number');
    if (name.includes('input_ids') || name === 'ids') {
      const declared = dims.at(-1);
      const length = typeof declared === 'number' ? declared : SAMPLE_TOKENS;
      const ids = BigInt64Array.from({ length }, (_, index) => BigInt((index * 7919) % vocabulary));
      values.set(name, { dataType: 'int64', dims: [length], data: ids });
    } else if (dataType.startsWith('float') && fixed.length === dims.length - 1) {
      const count = fixed.reduce((product, dim) => product * dim, 1);
      const data = Float32Array.from({ length: count }, (_, index) => Math.sin(index));
      values.set(name, { dataType: 'float32', dims: fixed, data });
    }
  }
  return { index: 0, values };
}
