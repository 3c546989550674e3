/** ONNX int4 and uint4: two values to a byte, the first in the low nibble (ONNX 1.16 TensorProto). */

/**
 * Packs values of -8..7 or 0..15, one per element, two to a byte; an odd last byte has a zero high
 * nibble. Only the low four bits of each value are looked at.
 */
export function packInt4(values: Int8Array | Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(values.length / 2));
  for (let index = 0; index < packed.length; index++) {
    const low = values[2 * index]! & 0xf;
    const high = (values[2 * index + 1] ?? 0) & 0xf;
    packed[index] = low | (high << 4);
  }
  return packed;
}

/** Returns `count` signed values of -8..7 from packed nibbles. */
export function unpackInt4(packed: Uint8Array, count: number): Int8Array {
  const values = new Int8Array(count);
  // Shifting the nibble to the top of 32 bits and back copies its sign.
  for (let index = 0; index < count; index++) {
    values[index] = (nibble(packed, index) << 28) >> 28;
  }
  return values;
}

/** Returns `count` unsigned values of 0..15 from packed nibbles. */
export function unpackUint4(packed: Uint8Array, count: number): Uint8Array {
  const values = new Uint8Array(count);
  for (let index = 0; index < count; index++) values[index] = nibble(packed, index);
  return values;
}

function nibble(packed: Uint8Array, index: number): number {
  return (packed[index >>> 1]! >>> (4 * (index & 1))) & 0xf;
}
