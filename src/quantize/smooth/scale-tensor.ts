import type { DataType } from '../../ir/data-type.ts';
import { derivedSource, elementCount, type Tensor } from '../../ir/tensor.ts';
import { bfloat16ArrayToFloat32, float32ArrayToBfloat16 } from '../../numerics/bfloat16.ts';
import { float16ArrayToFloat32, float32ArrayToFloat16 } from '../../numerics/float16.ts';
import { type Factors, scaleRows } from '../../numerics/scale-rows.ts';

/** Bytes of the unscaled tensor that are in memory at once. */
const BLOCK_BYTES = 8 * 1024 * 1024;

/**
 * Returns the tensor with element [r, c] multiplied by `rows[r]`, then by `columns[c]`, both in float32,
 * and rounded to `dataType`; computed when it is read. A tensor that is not a matrix counts as one row.
 */
export function scaleTensor(tensor: Tensor, factors: Factors, dataType: DataType): Tensor {
  const count = elementCount(tensor.dims);
  const rowCount = tensor.dims.length === 2 ? tensor.dims[0]! : 1;
  const columnCount = rowCount === 0 ? 0 : count / rowCount;
  const [from, to] = [widthOf(tensor.dataType), widthOf(dataType)];
  const rowsAtOnce = Math.max(1, Math.floor(BLOCK_BYTES / (columnCount * from)));
  const source = derivedSource({
    rowCount,
    rowByteLength: columnCount * to,
    async fill(into, firstRow, rows) {
      if (dataType === tensor.dataType && (dataType === 'float16' || dataType === 'float32')) {
        await tensor.source.read(into, firstRow * columnCount * from);
        scaleRows(
          { name: tensor.name, dataType, rowCount: rows, columnCount, firstRow, bytes: into },
          factors,
        );
        return;
      }
      const bytes = new Uint8Array(Math.min(rows, rowsAtOnce) * columnCount * from);
      for (let done = 0; done < rows; done += rowsAtOnce) {
        const taken = Math.min(rowsAtOnce, rows - done);
        const part = bytes.subarray(0, taken * columnCount * from);
        await tensor.source.read(part, (firstRow + done) * columnCount * from);
        const target = done * columnCount * to;
        const { name } = tensor;
        const place = { name, rowCount: taken, columnCount, firstRow: firstRow + done };
        if (tensor.dataType === 'float16' && dataType === 'float32') {
          const widened = into.subarray(target, target + taken * columnCount * to);
          scaleRows({ ...place, dataType: 'float16', bytes: part }, factors, widened);
          continue;
        }
        const values = decode(part, tensor.dataType);
        const scaled = new Uint8Array(values.buffer);
        scaleRows({ ...place, dataType: 'float32', bytes: scaled }, factors);
        into.set(encode(values, dataType), target);
      }
    },
  });
  return { ...tensor, dataType, source };
}

function widthOf(dataType: DataType): number {
  return dataType === 'float32' ? 4 : 2;
}

/** Returns a copy, so that the caller may write to it. */
function decode(bytes: Uint8Array, dataType: DataType): Float32Array {
  const { buffer } = bytes.slice();
  if (dataType === 'float32') return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  return dataType === 'float16' ? float16ArrayToFloat32(halves) : bfloat16ArrayToFloat32(halves);
}

function encode(values: Float32Array, dataType: DataType): Uint8Array {
  if (dataType === 'float32') return new Uint8Array(values.buffer);
  const halves =
    dataType === 'float16' ? float32ArrayToFloat16(values) : float32ArrayToBfloat16(values);
  return new Uint8Array(halves.buffer);
}
