import { UnsupportedError } from '../../errors.ts';
import { derivedSource, type TensorSource } from '../../ir/tensor.ts';
import {
  createInt4Rows,
  INT4_MIDDLE,
  type Int4Rows,
  int4BlockCount,
  packNbitsWeight,
  packNbitsZeroPoints,
} from '../../numerics/int4-blocks.ts';
import type { Int4Settings } from '../../recipe/recipe.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { cacheLast } from './cache-last.ts';
import { gptqFactor, roundByGptq } from './gptq.ts';
import {
  type InputMoments,
  importanceOf,
  type ReadInputMoments,
  sumMoments,
} from './input-moments.ts';
import { outputChannels } from './output-channels.ts';
import { type RoundInt4, roundToNearest } from './round-int4.ts';

/** A 4-bit weight whose parts are computed when one of them is read. */
export interface Int4Weight {
  /** `MatMulNBits`: B, scales and zero points as that operator wants them. */
  readonly nbits: Int4Sources;
  /** Blocked DequantizeLinear of [in, out] along axis 0: int4 or uint4 values, scales [blocks, out]. */
  readonly blocked: Int4Sources;
}

/** The bytes of an {@link Int4Weight} in one of its forms. */
export interface Int4Sources {
  readonly values: TensorSource;
  readonly scales: TensorSource;
  readonly zeroPoints: TensorSource;
}

/** One weight: a layer that reads it, and what is multiplied with it. */
interface Int4Request {
  readonly layer: LinearLayer;
  readonly inputs: readonly string[];
}

/** Bytes of one constant, from all of a weight. */
type MakeBytes = (rows: Int4Rows) => Uint8Array;

/**
 * Makes the 4-bit weights of one model; `inputs` are the activations that the layers with this weight
 * multiply. It keeps no more than one of them in memory.
 */
export type Int4Weights = (layer: LinearLayer, inputs: readonly string[]) => Int4Weight;

/**
 * Returns the maker of 4-bit weights. `moments` belongs to the float source; it is asked when a weight
 * is read, and only for rounding other than `rtn`. A weight that several layers share is rounded once, for
 * the sum of their squared output errors. Reading throws {@link UnsupportedError}
 * naming the tensor for a weight that holds NaN or infinity.
 */
export function int4Weights(settings: Int4Settings, moments?: ReadInputMoments): Int4Weights {
  const rounderOf = cacheLast((key: string) =>
    makeRounder(JSON.parse(key) as readonly string[], settings, moments),
  );
  const rowsOf = cacheLast(async ({ layer, inputs }: Int4Request) =>
    roundLayer(layer, settings, await rounderOf(JSON.stringify(inputs))),
  );
  let packed:
    | { readonly make: MakeBytes; readonly rows: Int4Rows; readonly bytes: Uint8Array }
    | undefined;
  const packedBy = (make: MakeBytes, rows: Int4Rows): Uint8Array => {
    if (packed?.make !== make || packed.rows !== rows) packed = { make, rows, bytes: make(rows) };
    return packed.bytes;
  };
  return (layer, inputs) => {
    const request: Int4Request = { layer, inputs: settings.rounding === 'rtn' ? [] : inputs };
    const { outFeatures, inFeatures } = layer;
    const { blockSize } = settings;
    const blocks = int4BlockCount(inFeatures, blockSize);
    const source = (byteLength: number, make: MakeBytes): TensorSource => {
      return derivedSource({
        rowCount: byteLength,
        rowByteLength: 1,
        async fill(into, first, count) {
          const bytes = packedBy(make, await rowsOf(request));
          into.set(bytes.subarray(first, first + count));
        },
      });
    };
    return {
      nbits: {
        values: source(outFeatures * blocks * (blockSize / 2), packNbitsWeight),
        scales: source(4 * outFeatures * blocks, ({ scales }) => new Uint8Array(scales.buffer)),
        zeroPoints: source(outFeatures * Math.ceil(blocks / 2), packNbitsZeroPoints),
      },
      blocked: {
        values: source(Math.ceil((outFeatures * inFeatures) / 2), (rows) =>
          transposeNibbles(rows.integers, outFeatures, inFeatures, isSigned(settings)),
        ),
        scales: source(4 * outFeatures * blocks, ({ scales }) =>
          transposeFloats(scales, outFeatures, blocks),
        ),
        zeroPoints: source(Math.ceil((outFeatures * blocks) / 2), (rows) =>
          transposeNibbles(rows.zeroPoints, outFeatures, blocks, isSigned(settings)),
        ),
      },
    };
  };
}

function isSigned({ symmetric }: Int4Settings): boolean {
  return symmetric;
}

async function makeRounder(
  inputs: readonly string[],
  grid: Int4Settings,
  read: ReadInputMoments | undefined,
): Promise<RoundInt4> {
  if (grid.rounding === 'rtn') return roundToNearest(grid);
  const moments = await momentsOf(inputs, read);
  const importance = importanceOf(moments);
  // Inputs wider than GPTQ_MAX_WIDTH have no Gram matrix; the plan says so.
  if (grid.rounding === 'mse' || moments.gram === undefined)
    return roundToNearest(grid, importance);
  return roundByGptq(grid, { factor: gptqFactor(moments), width: moments.width, importance });
}

async function momentsOf(
  inputs: readonly string[],
  read: ReadInputMoments | undefined,
): Promise<InputMoments> {
  if (read !== undefined) return sumMoments(inputs, read);
  throw new UnsupportedError(
    `${inputs[0]}: rounding by output error needs the second moments of this activation (got none). ` +
      'Give calibration data, or round to nearest with "rounding: rtn".',
  );
}

async function roundLayer(
  layer: LinearLayer,
  { blockSize }: Int4Settings,
  round: RoundInt4,
): Promise<Int4Rows> {
  const { outFeatures, inFeatures } = layer;
  const whole = createInt4Rows(outFeatures, inFeatures, blockSize);
  const blocks = int4BlockCount(inFeatures, blockSize);
  for await (const { firstRow, rowCount, values } of outputChannels(layer)) {
    const end = firstRow + rowCount;
    round(values, {
      rowCount,
      columnCount: inFeatures,
      blockSize,
      integers: whole.integers.subarray(firstRow * inFeatures, end * inFeatures),
      scales: whole.scales.subarray(firstRow * blocks, end * blocks),
      zeroPoints: whole.zeroPoints.subarray(firstRow * blocks, end * blocks),
    });
  }
  return whole;
}

/** Returns nibbles of the transpose of [rows, columns], first in the low nibble; `signed` about 8. */
function transposeNibbles(
  values: Uint8Array,
  rows: number,
  columns: number,
  signed: boolean,
): Uint8Array {
  const packed = new Uint8Array(Math.ceil((rows * columns) / 2));
  const flip = signed ? INT4_MIDDLE : 0;
  for (let column = 0, index = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++, index++) {
      const nibble = values[row * columns + column]! ^ flip;
      packed[index >>> 1] = packed[index >>> 1]! | (nibble << (4 * (index & 1)));
    }
  }
  return packed;
}

function transposeFloats(values: Float32Array, rows: number, columns: number): Uint8Array {
  const turned = new Float32Array(rows * columns);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++)
      turned[column * rows + row] = values[row * columns + column]!;
  }
  return new Uint8Array(turned.buffer);
}
