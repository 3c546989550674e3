import { derivedSource, type TensorSource } from '../../ir/tensor.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { cacheLast } from './cache-last.ts';
import { gptqFactor } from './gptq.ts';
import { type OrderedCarry, roundInt8ByGptq } from './gptq-int8.ts';
import { type InputMoments, momentsOfGram, type ReadInputMoments } from './input-moments.ts';
import { outputChannels } from './output-channels.ts';
import type { QuantizedWeight } from './quantized-weight.ts';

/**
 * Returns the INT8 weight of a layer rounded by output error, on the scales of `nearest`. One weight of a
 * model is in memory at a time.
 */
export type RoundWeight = (
  layer: LinearLayer,
  nearest: QuantizedWeight,
  isPairSafe: boolean,
) => QuantizedWeight;

/**
 * Returns rounding by GPTQ for the layers of one model. `moments` are asked for when a weight is read; a layer
 * whose input has no Gram matrix, or one that float32 could not hold, keeps its nearest integers.
 */
export function gptqRounding(moments: ReadInputMoments): RoundWeight {
  const factorOf = cacheLast(async (input: string) => {
    const known = await moments(input);
    const isKnown = known.rowCount > 0 && known.squares.every(Number.isFinite);
    return known.gram === undefined || !isKnown ? undefined : orderedCarry(known);
  });
  const integersOf = cacheLast(async (request: RoundRequest) => {
    const carry = await factorOf(request.layer.input);
    return carry === undefined ? undefined : roundLayer(request, carry);
  });
  return (layer, nearest, isPairSafe) => {
    const request = { layer, nearest, isPairSafe };
    return { ...nearest, values: asWeight(request, () => integersOf(request)) };
  };
}

interface RoundRequest {
  readonly layer: LinearLayer;
  readonly nearest: QuantizedWeight;
  readonly isPairSafe: boolean;
}

/** Loudest features come first, so that the others make good their errors (`act-order`). */
function orderedCarry(moments: InputMoments): OrderedCarry {
  const { width, squares, gram, rowCount } = moments;
  const order = Uint32Array.from(squares.keys()).sort((a, b) => squares[b]! - squares[a]! || a - b);
  const turned = new Float32Array(width * width);
  order.forEach((row, to) => {
    order.forEach((column, at) => {
      turned[to * width + at] = gram![row * width + column]!;
    });
  });
  const factor = gptqFactor(momentsOfGram(width, rowCount, turned));
  return { factor, width, order };
}

/** Returns the integers of a layer, `[out, in]`. */
async function roundLayer(
  { layer, nearest, isPairSafe }: RoundRequest,
  carry: OrderedCarry,
): Promise<Int8Array> {
  const { inFeatures, outFeatures } = layer;
  const scales = await nearest.scales();
  const integers = new Int8Array(outFeatures * inFeatures);
  for await (const { firstRow, rowCount, values } of outputChannels(layer)) {
    const end = firstRow + rowCount;
    const grid = { scales: scales.subarray(firstRow, end), isPairSafe };
    const into = integers.subarray(firstRow * inFeatures, end * inFeatures);
    roundInt8ByGptq(values, grid, carry, into);
  }
  return integers;
}

/** Lays integers `[out, in]` as the float weight lies; nearest ones where there are none. */
function asWeight(
  { layer, nearest }: RoundRequest,
  integersOf: () => Promise<Int8Array | undefined>,
): TensorSource {
  const { inFeatures, outFeatures, weight } = layer;
  const isTurned = weight.outputAxis === 1;
  const rowByteLength = isTurned ? outFeatures : inFeatures;
  return derivedSource({
    rowCount: isTurned ? inFeatures : outFeatures,
    rowByteLength,
    async fill(into, firstRow, count) {
      const integers = await integersOf();
      const target = new Int8Array(into.buffer, into.byteOffset, into.length);
      if (integers === undefined) await nearest.values.read(into, firstRow * rowByteLength);
      else if (!isTurned) {
        target.set(integers.subarray(firstRow * inFeatures, (firstRow + count) * inFeatures));
      } else {
        for (let row = 0, index = 0; row < count; row++) {
          for (let channel = 0; channel < outFeatures; channel++, index++) {
            target[index] = integers[channel * inFeatures + firstRow + row]!;
          }
        }
      }
    },
  });
}
