import type { Model } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { bfloat16ToFloat32 } from '../../numerics/bfloat16.ts';
import { float16ToFloat32 } from '../../numerics/float16.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { surveyModel } from '../survey-model.ts';

/** Linear layers whose float weights were sampled, and those that lie on a grid of few levels. */
export interface WeightGrids {
  readonly sampled: readonly string[];
  /** Those with at most 16 levels in every block of 32 input features: dequantized from 4 bits. */
  readonly onGrid: readonly string[];
}

/** Blocks of the 4-bit formats: 32 in most, and in the larger ones (64, 128, 256) a part. */
const BLOCK = 32;
const LEVELS = 16;
/** Two and three levels are binary and ternary weights, or structure; they are not rounded to 4 bits. */
const FEW_LEVELS = 4;
/** Blocks of fewer numbers that are not zero are sparse; they tell nothing. */
const MIN_NONZERO = 24;
/** As many blocks must tell something. */
const MIN_BLOCKS = 8;
/**
 * Share of the blocks that must lie on a grid: all but one or two. 32 floats of 16 bits have some 31 values, and of
 * 5-bit weights in blocks of 128 a third of the samples happens to have 16 or fewer.
 */
const MIN_SHARE = 0.95;

/** Layers that are looked at, evenly over the model, and 64 blocks of each: 8 kB of floats a layer. */
const SAMPLED_LAYERS = 16;
const ROWS = 32;

/**
 * Reads a sample of the weights of linear layers and says which lie on a grid of 16 levels or fewer, as weights do
 * that were stored in 4 bits and widened again: whatever a 4-bit recipe loses on them says nothing about
 * real floats. Reads at most 8 kB of each of 16 layers.
 */
export async function findWeightGrids(model: Model): Promise<WeightGrids> {
  const sampled: string[] = [];
  const onGrid: string[] = [];
  for (const layer of spread(sampleable(surveyModel(model).layers), SAMPLED_LAYERS)) {
    const blocks = await sampleBlocks(layer);
    const telling = blocks.filter(
      (block) => block.filter((value) => value !== 0).length >= MIN_NONZERO,
    );
    if (telling.length < MIN_BLOCKS) continue;
    sampled.push(layer.name);
    const levels = telling.map((block) => new Set(block).size);
    const few = levels.filter((count) => count > FEW_LEVELS && count <= LEVELS);
    if (few.length >= MIN_SHARE * levels.length) onGrid.push(layer.name);
  }
  return { sampled, onGrid };
}

/** Layers of different float matrices that are large enough to sample. */
function sampleable(layers: readonly LinearLayer[]): readonly LinearLayer[] {
  const byWeight = new Map(
    layers
      .filter(({ weight: { tensor }, inFeatures, outFeatures }) => {
        const isMatrix = tensor.dims.length === 2 && WIDTHS.has(tensor.dataType);
        return isMatrix && inFeatures >= BLOCK && outFeatures >= MIN_BLOCKS;
      })
      .map((layer) => [layer.weight.initializer, layer]),
  );
  return [...byWeight.values()];
}

const WIDTHS: ReadonlyMap<string, number> = new Map([
  ['float32', 4],
  ['float16', 2],
  ['bfloat16', 2],
]);

/** Returns `count` items with equal distances, the first and the last among them. */
function spread<Item>(items: readonly Item[], count: number): readonly Item[] {
  if (items.length <= count) return items;
  return Array.from({ length: count }, (_, index) => {
    return items[Math.round((index * (items.length - 1)) / (count - 1))]!;
  });
}

/** Returns blocks of 32 neighbouring input features of some output channels, from the inside of the matrix. */
async function sampleBlocks({ weight }: LinearLayer): Promise<readonly (readonly number[])[]> {
  const { tensor, outputAxis } = weight;
  const [rows, columns] = tensor.dims as readonly [number, number];
  const blocks: number[][] = [];
  if (outputAxis === 0) {
    const firstColumn = alignedMiddle(columns, BLOCK);
    for (const row of spread([...Array(rows).keys()], ROWS)) {
      for (const values of await readPart(tensor, row, firstColumn, 2 * BLOCK)) blocks.push(values);
    }
    return blocks;
  }
  const firstRow = alignedMiddle(rows, BLOCK);
  const firstColumn = alignedMiddle(columns, 1);
  const count = Math.min(2 * ROWS, columns - firstColumn);
  const lines: number[][] = [];
  for (let row = firstRow; row < firstRow + BLOCK; row++) {
    lines.push(await readValues(tensor, row * columns + firstColumn, count));
  }
  return Array.from({ length: count }, (_, column) => lines.map((line) => line[column]!));
}

/** A position a third into a length, on a multiple of `step` that leaves room for one. */
function alignedMiddle(length: number, step: number): number {
  return step * Math.min(Math.floor(length / step / 3), Math.floor(length / step) - 1);
}

async function readPart(
  tensor: Tensor,
  row: number,
  first: number,
  wanted: number,
): Promise<readonly number[][]> {
  const columns = tensor.dims[1]!;
  const count = BLOCK * Math.floor(Math.min(wanted, columns - first) / BLOCK);
  const values = await readValues(tensor, row * columns + first, count);
  return Array.from({ length: count / BLOCK }, (_, block) =>
    values.slice(block * BLOCK, (block + 1) * BLOCK),
  );
}

async function readValues(
  { source, dataType }: Tensor,
  first: number,
  count: number,
): Promise<number[]> {
  const width = WIDTHS.get(dataType)!;
  const bytes = new Uint8Array(count * width);
  await source.read(bytes, first * width);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, index) => {
    if (width === 4) return view.getFloat32(4 * index, true);
    const half = view.getUint16(2 * index, true);
    return dataType === 'bfloat16' ? bfloat16ToFloat32(half) : float16ToFloat32(half);
  });
}
