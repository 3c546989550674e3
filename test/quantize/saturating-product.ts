/**
 * The sums of uint8 x int8 products as x86 CPUs compute them: exactly, or with pairs of neighbouring
 * products added in saturating 16 bits, as AVX2 and AVX-512 before VNNI do (`vpmaddubsw`).
 */

/** Operands of a product: uint8 [rows, inputs] and int8 [inputs, channels]. */
export interface IntegerProduct {
  readonly activations: Uint8Array;
  readonly weights: Int8Array;
  readonly rows: number;
  readonly inputs: number;
  readonly channels: number;
}

/** Returns int32 sums [rows, channels]. */
export function multiplyExactly(product: IntegerProduct): Int32Array {
  return multiply(product, (sum) => sum);
}

/** Returns the sums of a CPU without VNNI. */
export function multiplyInPairs(product: IntegerProduct): Int32Array {
  return multiply(product, (sum) => Math.max(-32768, Math.min(32767, sum)));
}

function multiply(product: IntegerProduct, ofPair: (sum: number) => number): Int32Array {
  const { activations, weights, rows, inputs, channels } = product;
  const sums = new Int32Array(rows * channels);
  const term = (row: number, input: number, channel: number): number =>
    input < inputs ? activations[row * inputs + input]! * weights[input * channels + channel]! : 0;
  for (let row = 0; row < rows; row++) {
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0;
      for (let input = 0; input < inputs; input += 2) {
        sum += ofPair(term(row, input, channel) + term(row, input + 1, channel));
      }
      sums[row * channels + channel] = sum;
    }
  }
  return sums;
}
