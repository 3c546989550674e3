import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../../errors.ts';
import type { TensorValue } from '../../values/tensor-value.ts';
import type { SampleList } from '../sample.ts';
import { decodeTensorProto } from './tensor-proto.ts';

/** Largest `input_N.pb` that is read; inputs of one sample, not weights. */
const INPUT_LIMIT = 1 << 30;

/** Returns the `test_data_set_N` folders in `folder` (ONNX test data layout), by number. */
export async function listTestDataSets(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .flatMap((entry) => {
      const number = /^test_data_set_(\d+)$/.exec(entry.name)?.[1];
      return number === undefined ? [] : [{ name: entry.name, number: Number(number) }];
    })
    .sort((a, b) => a.number - b.number)
    .map(({ name }) => join(folder, name));
}

/** Returns the `input_N.pb` files of one test data set, by number. */
export async function listInputFiles(set: string): Promise<readonly string[]> {
  const names = await readdir(set);
  const number = (name: string): number => Number(/^input_(\d+)\.pb$/.exec(name)?.[1] ?? -1);
  return names
    .filter((name) => number(name) >= 0)
    .sort((a, b) => number(a) - number(b))
    .map((name) => join(set, name));
}

/** Returns the samples of test data sets: one per folder, every array with its batch axis. */
export function openTestDataSets(sets: readonly string[]): SampleList {
  return {
    count: sets.length,
    async *read(indices) {
      for (const index of indices) {
        const values = new Map<string, TensorValue>();
        for (const path of await listInputFiles(sets[index]!)) {
          const { size } = await stat(path);
          if (size > INPUT_LIMIT) {
            throw new FormatError(
              `${path}: too large (got ${size} bytes, expected ${INPUT_LIMIT}).`,
            );
          }
          const { name, value } = decodeTensorProto(await readFile(path), path);
          if (name === '') throw new FormatError(`${path}: its tensor has no name.`);
          values.set(name, value);
        }
        yield { values };
      }
    },
  };
}
