import { UnsupportedError } from '../../errors.ts';
import { derivedSource, type TensorSource } from '../../ir/tensor.ts';
import { INT4_MIDDLE } from '../../numerics/int4-blocks.ts';
import { createWeightKernel, type WeightKernel } from '../../numerics/weight-kernel.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { createBlockQuantizer } from '../../quantize/weights/blocked-weight.ts';
import type { ReadInputMoments } from '../../quantize/weights/input-moments.ts';
import { type Int4Weights, int4Weights } from '../../quantize/weights/int4-weight.ts';
import {
  offsetBinary,
  quantizeWeight,
  scaleSource,
  transposedSource,
} from '../../quantize/weights/quantized-weight.ts';
import { type Int4Settings, int4Settings } from '../../recipe/recipe.ts';
import type { Embedding } from '../../structure/find-embeddings.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import type { IntegerTable } from './lowering.ts';
import type { IntegerWeight } from './ops/linear.ts';

/** What makes the integers of layers. */
export interface IntegerContext {
  readonly kernel?: WeightKernel | undefined;
  /** Second moments of the inputs of 4-bit layers, where they are rounded by them. */
  readonly moments?: ReadInputMoments | undefined;
}

/**
 * Returns what gives the weight of a layer as the plan has it: INT8 by output channel or in blocks, INT4 in blocks;
 * undefined where it stays float. INT8 activations need nothing in the file: MNN rounds them itself in each run.
 * `layers` are those of the model that is lowered. Throws {@link UnsupportedError} when the plan names a layer that
 * is not among them.
 */
export function integerWeights(
  plan: QuantizationPlan,
  layers: readonly LinearLayer[],
  { kernel = createWeightKernel(), moments }: IntegerContext,
): (layer: LinearLayer) => IntegerWeight | undefined {
  const planned = new Map(
    plan.layers.flatMap((layer) => (whyFloat(layer) === undefined ? [[layer.name, layer]] : [])),
  );
  const missing = new Set(planned.keys());
  const int4Inputs = new Map<string, string[]>();
  for (const layer of layers) {
    missing.delete(layer.name);
    if (planned.get(layer.name)?.scheme !== 'w4a16') continue;
    const key = weightKey(layer);
    int4Inputs.set(key, [...(int4Inputs.get(key) ?? []), layer.input]);
  }
  for (const name of missing) missingPart('layer', name);
  const quantizeBlocks = createBlockQuantizer(kernel);
  const settings = int4Settings(plan.recipe);
  const int4 = int4Weights(settings, moments);
  return (layer) => {
    const found = planned.get(layer.name);
    if (found === undefined) return undefined;
    if (found.scheme === 'w4a16') {
      return fourBits(layer, settings, int4, int4Inputs.get(weightKey(layer)) ?? []);
    }
    const { tensor, outputAxis } = layer.weight;
    const { blockSize } = found.weight;
    if (blockSize === undefined) return byChannel(layer, kernel);
    const { values, scales } = quantizeBlocks(tensor, outputAxis, blockSize);
    return {
      bits: 8,
      codes: values,
      alpha: scales,
      blocks: layer.inFeatures / blockSize,
      isAsymmetric: false,
    };
  };
}

/**
 * Returns the token tables that the plan has as integers, by the value that their Gather makes. Throws
 * {@link UnsupportedError} when the plan names one that the model does not have.
 */
export function integerTables(
  plan: QuantizationPlan,
  tables: readonly Embedding[],
  kernel: WeightKernel = createWeightKernel(),
): ReadonlyMap<string, IntegerTable> {
  const quantizeBlocks = createBlockQuantizer(kernel);
  const found = new Map<string, IntegerTable>();
  for (const { name, node, scheme, table: planned } of plan.embeddings) {
    if (scheme === 'float') continue;
    const embedding =
      tables.find((one) => one.name === name && one.node.name === node) ??
      missingPart('token table', name);
    const { table, tokenAxis } = embedding;
    const [tokens = 0, width = 0] = [table.dims[tokenAxis], table.dims[1 - tokenAxis]];
    const { blockSize = width } = planned;
    const { values, scales } = quantizeBlocks(table, tokenAxis, blockSize);
    const [output = ''] = embedding.node.outputs;
    const integers = { tokens, width, values: offsetBinary(values), scales };
    found.set(output, { ...integers, blocks: width / blockSize });
  }
  return found;
}

function missingPart(what: string, name: string): never {
  throw new UnsupportedError(
    `mnn: the plan names a ${what} that is not in this model (got "${name}"). ` +
      'Plan and model belong together: plan again from this model.',
  );
}

/** Returns why MNN leaves a planned layer float, undefined when it does not. */
export function whyFloat({ scheme, reason, weight, inFeatures }: PlannedLayer): string | undefined {
  if (scheme === 'float') return reason ?? 'recipe';
  const { blockSize } = weight;
  if (blockSize !== undefined && inFeatures % blockSize !== 0) {
    return `blocks of ${blockSize} do not divide ${inFeatures} inputs`;
  }
  return undefined;
}

function weightKey({ weight }: LinearLayer): string {
  return `${weight.initializer}|${weight.outputAxis}`;
}

function byChannel({ weight }: LinearLayer, kernel: WeightKernel): IntegerWeight {
  const { tensor, outputAxis } = weight;
  const [rows, columns] = tensor.dims as readonly [number, number];
  const grid = { scaleType: 'float32', isPairSafe: false } as const;
  const quantized = quantizeWeight(tensor, outputAxis, grid, kernel);
  const turned =
    outputAxis === 0 ? quantized.values : transposedSource(quantized.values, rows, columns);
  const alpha = scaleSource(quantized, 'float32');
  return { bits: 8, codes: offsetBinary(turned), alpha, blocks: 1, isAsymmetric: false };
}

/** MatMulNBits has the first of two codes in the low half of a byte, MNN in the high one. */
function fourBits(
  layer: LinearLayer,
  { blockSize, symmetric }: Int4Settings,
  weights: Int4Weights,
  inputs: readonly string[],
): IntegerWeight {
  const { nbits } = weights(layer, inputs);
  const blocks = layer.inFeatures / blockSize;
  return {
    bits: 4,
    codes: swappedNibbles(nbits.values),
    alpha: symmetric ? nbits.scales : offsetsAndScales(nbits, layer.outFeatures, blocks),
    blocks,
    isAsymmetric: !symmetric,
  };
}

function swappedNibbles(source: TensorSource): TensorSource {
  return {
    byteLength: source.byteLength,
    async read(into, offset) {
      await source.read(into, offset);
      for (let index = 0; index < into.length; index++) {
        const byte = into[index]!;
        into[index] = (byte >> 4) | ((byte & 15) << 4);
      }
    },
  };
}

/** Pairs of the weight that code 0 (stored as 8) stands for, and the scale. */
function offsetsAndScales(
  { scales, zeroPoints }: { readonly scales: TensorSource; readonly zeroPoints: TensorSource },
  rows: number,
  blocks: number,
): TensorSource {
  const zeroBytes = Math.ceil(blocks / 2);
  return derivedSource({
    rowCount: rows,
    rowByteLength: 8 * blocks,
    async fill(into, first, count) {
      const scaleBytes = new Uint8Array(4 * blocks * count);
      const zeros = new Uint8Array(zeroBytes * count);
      await scales.read(scaleBytes, 4 * blocks * first);
      await zeroPoints.read(zeros, zeroBytes * first);
      const from = new DataView(scaleBytes.buffer);
      const to = new DataView(into.buffer, into.byteOffset, into.byteLength);
      for (let index = 0; index < blocks * count; index++) {
        const [row, block] = [Math.floor(index / blocks), index % blocks];
        const zero = (zeros[row * zeroBytes + (block >> 1)]! >> (4 * (block & 1))) & 15;
        const scale = from.getFloat32(4 * index, true);
        to.setFloat32(8 * index, (INT4_MIDDLE - zero) * scale, true);
        to.setFloat32(8 * index + 4, scale, true);
      }
    },
  });
}
