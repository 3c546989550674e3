import { writeSync } from 'node:fs';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';

/** A prime, so that no two weights begin at the same place of the ring. */
const RING_ELEMENTS = 1_299_709;

/** Returns the bytes of uniform values around `center`, by a linear congruential generator (Numerical Recipes, 1992). */
export function randomRing(
  dataType: 'float16' | 'float32',
  center: number,
  halfWidth: number,
): Uint8Array {
  let state = 12345;
  const values = Float32Array.from({ length: RING_ELEMENTS }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return center + (state / 2 ** 31 - 1) * halfWidth;
  });
  return new Uint8Array((dataType === 'float32' ? values : float32ArrayToFloat16(values)).buffer);
}

/** Writes `byteLength` bytes of the ring to `offset` of a file, from byte `start` of the ring on, round and round. */
export function writeRing(
  file: number,
  ring: Uint8Array,
  start: number,
  offset: number,
  byteLength: number,
): void {
  for (let done = 0; done < byteLength; ) {
    const from = (start + done) % ring.length;
    const length = Math.min(ring.length - from, byteLength - done);
    writeSync(file, ring, from, length, offset + done);
    done += length;
  }
}
