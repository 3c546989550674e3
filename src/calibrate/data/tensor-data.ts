import { extname } from 'node:path';
import { UsageError } from '../../errors.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import type { Sample, SampleList } from '../sample.ts';
import { type ArrayRows, openArrays } from './array-rows.ts';

/**
 * Returns the samples of `.npz` and `.npy` files: row i of every array. All `.npy` files together are
 * one set of arrays; each `.npz` is one, and follows the one before. `labels` names the array of
 * classes, which is no input. Throws {@link UsageError} when arrays differ in length.
 */
export async function openTensorData(
  files: readonly string[],
  labels: string | undefined,
): Promise<SampleList> {
  const groups: ArrayRows[][] = [];
  const loose: ArrayRows[] = [];
  for (const file of files) {
    const arrays = await openArrays(file);
    if (extname(file) === '.npz') groups.push([...arrays]);
    else loose.push(...arrays);
  }
  if (loose.length > 0) groups.push(loose);
  const counts = groups.map((group, index) => commonLength(group, files[index] ?? ''));
  return {
    count: counts.reduce((sum, count) => sum + count, 0),
    async *read(indices) {
      let start = 0;
      for (const [position, group] of groups.entries()) {
        const end = start + counts[position]!;
        const own = indices.filter((index) => index >= start && index < end);
        yield* readGroup(
          group,
          labels,
          own.map((index) => index - start),
        );
        start = end;
      }
    },
  };
}

function commonLength(group: readonly ArrayRows[], file: string): number {
  const [first, ...others] = group;
  if (first === undefined) throw new UsageError(`${file}: no array in it.`);
  for (const other of others) {
    if (other.dims[0] === first.dims[0]) continue;
    throw new UsageError(
      `${file}: arrays of different length (${first.name} has ${first.dims[0]} samples, ${other.name} ${other.dims[0]}). The first axis counts samples.`,
    );
  }
  return first.dims[0]!;
}

async function* readGroup(
  group: readonly ArrayRows[],
  labels: string | undefined,
  indices: readonly number[],
): AsyncIterable<Omit<Sample, 'index'>> {
  if (indices.length === 0) return;
  const readers = group.map(({ name, rows }) => ({
    name,
    rows: rows(indices)[Symbol.asyncIterator](),
  }));
  try {
    for (let done = 0; done < indices.length; done++) {
      const values = new Map<string, TensorValue>();
      let label: number | undefined;
      for (const { name, rows } of readers) {
        const row = await rows.next();
        if (row.done === true) throw new UsageError(`${name}: fewer rows than its header says.`);
        if (name === labels) label = Number(row.value.data[0]);
        else values.set(name, row.value);
      }
      yield label === undefined ? { values } : { values, label };
    }
  } finally {
    for (const { rows } of readers) await rows.return?.();
  }
}
