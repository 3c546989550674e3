import type { DataType } from '../ir/data-type.ts';
import { derivedSource, elementCount, inlineSource, type Tensor } from '../ir/tensor.ts';
import { bfloat16ArrayToFloat32 } from '../numerics/bfloat16.ts';
import { float16ArrayToFloat32 } from '../numerics/float16.ts';

/** Elements widened at a time: 1 MiB of 16 bits each. */
const CHUNK_ELEMENTS = 512 * 1024;

/**
 * Returns the float16 or bfloat16 tensor as float32, exactly. Bytes in memory are widened at once,
 * others when they are read.
 */
export function widenTensor(tensor: Tensor): Tensor {
  const { source, dataType } = tensor;
  if (source.bytes !== undefined) {
    return { ...tensor, dataType: 'float32', source: inlineSource(widen(source.bytes, dataType)) };
  }
  const count = elementCount(tensor.dims);
  const widened = derivedSource({
    ...(source.key !== undefined && { key: `${source.key}:float32` }),
    rowCount: count,
    rowByteLength: 4,
    async fill(into, first, rows) {
      for (let done = 0; done < rows; done += CHUNK_ELEMENTS) {
        const length = Math.min(CHUNK_ELEMENTS, rows - done);
        const halves = new Uint8Array(length * 2);
        await source.read(halves, (first + done) * 2);
        into.set(widen(halves, dataType), done * 4);
      }
    },
  });
  return { ...tensor, dataType: 'float32', source: widened };
}

function widen(bytes: Uint8Array, from: DataType): Uint8Array {
  // A copy, because slices of a file buffer need not start at an even address.
  const halves = new Uint16Array(bytes.slice().buffer);
  const widened =
    from === 'bfloat16' ? bfloat16ArrayToFloat32(halves) : float16ArrayToFloat32(halves);
  return new Uint8Array(widened.buffer);
}
