import { inlineSource, type TensorSource } from '../../src/ir/tensor.ts';
import { float32ToFloat16 } from '../../src/numerics/float16.ts';

/** Float16 weights that are small, of both signs and different from place to place. */
export function rampSource(name: string, byteLength: number): TensorSource {
  const values = Uint16Array.from({ length: byteLength / 2 }, (_, index) =>
    float32ToFloat16((((index * 31 + name.length * 7) % 101) - 50) / 400),
  );
  return inlineSource(new Uint8Array(values.buffer));
}
