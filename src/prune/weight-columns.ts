import type { ConsumerColumns } from './consumer-columns.ts';
import { layoutAround, readAlongAxis } from './read-along-axis.ts';
import type { UnitWeight } from './unit-weights.ts';
import { writeAlongAxis } from './write-along-axis.ts';

/** A weight with a row for each column that its product sums over, and output features along the rows. */
export interface ColumnRows {
  readonly values: Float32Array;
  /** Elements of a row: output features, times filter positions where those are not told apart. */
  readonly length: number;
}

type Columned = Pick<UnitWeight, 'tensor' | 'axis'> & { readonly columns: ConsumerColumns };

/** Returns a float weight as rows of {@link ConsumerColumns}; that of the column of ones is zero. */
export async function readColumns(weight: Columned): Promise<ColumnRows> {
  const { taps, bias } = weight.columns;
  const { values, size, length } = await readAlongAxis(weight);
  const rows = taps === 1 ? values : swapTaps(values, weight, 'apart');
  const width = length / taps;
  if (bias === undefined) return { values: rows, length: width };
  const withOne = new Float32Array((size * taps + 1) * width);
  withOne.set(rows);
  return { values: withOne, length: width };
}

/** Returns the weight with the values of rows, in its own layout and type; undefined when one passes its range. */
export function writeColumns(
  weight: Columned,
  { values }: ColumnRows,
): ReturnType<typeof writeAlongAxis> {
  const { taps } = weight.columns;
  const count = weight.tensor.dims.reduce((product, dim) => product * dim, 1);
  const rows = values.subarray(0, count);
  return writeAlongAxis(weight, taps === 1 ? rows : swapTaps(rows, weight, 'together'));
}

/** Returns what the row of the column of ones adds to each output feature. */
export function outputShift(weight: Columned, { values, length }: ColumnRows): Float32Array {
  const row = values.subarray(values.length - length);
  const features = weight.columns.bias?.tensor.dims.at(-1) ?? length;
  // A filter whose positions are not told apart meets the constant at each of them.
  const positions = length / features;
  return Float32Array.from({ length: features }, (_, feature) =>
    row
      .subarray(feature * positions, (feature + 1) * positions)
      .reduce((sum, value) => sum + value, 0),
  );
}

/** Between `[channel, feature, tap]` and `[channel, tap, feature]`. */
function swapTaps(
  values: Float32Array,
  { tensor, axis }: Columned,
  taps: 'apart' | 'together',
): Float32Array {
  const { outer, size, inner } = layoutAround(tensor.dims, axis);
  const result = new Float32Array(values.length);
  for (let channel = 0; channel < size; channel++) {
    const start = channel * outer * inner;
    for (let feature = 0; feature < outer; feature++) {
      for (let tap = 0; tap < inner; tap++) {
        const together = start + feature * inner + tap;
        const apart = start + tap * outer + feature;
        if (taps === 'apart') result[apart] = values[together]!;
        else result[together] = values[apart]!;
      }
    }
  }
  return result;
}
