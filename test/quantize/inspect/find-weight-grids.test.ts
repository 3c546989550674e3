import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../../src/ir/tensor.ts';
import { float32ToBfloat16 } from '../../../src/numerics/bfloat16.ts';
import { findWeightGrids } from '../../../src/quantize/inspect/find-weight-grids.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';
import { fixture } from '../../kit/run-model.ts';

const WIDTH = 128;

/** [out, in] values, about normal: twelve uniform numbers each. */
function normal(seed: number): Float32Array {
  const uniform = noise(seed, 12 * WIDTH * WIDTH);
  return Float32Array.from({ length: WIDTH * WIDTH }, (_, index) => {
    let sum = 0;
    for (let part = 0; part < 12; part++) sum += uniform[12 * index + part]!;
    return sum / 100;
  });
}

/** Rounds each block of `size` neighbours to `levels` steps between its extremes. */
function onGrid(values: Float32Array, size: number, levels: number): Float32Array {
  const rounded = new Float32Array(values.length);
  for (let first = 0; first < values.length; first += size) {
    const block = values.subarray(first, first + size);
    const [low, high] = [Math.min(...block), Math.max(...block)];
    const step = (high - low) / (levels - 1);
    block.forEach((entry, index) => {
      rounded[first + index] = low + step * Math.round((entry - low) / step);
    });
  }
  return rounded;
}

function transposed(values: Float32Array): Float32Array {
  return values.map((_, index) => values[(index % WIDTH) * WIDTH + Math.floor(index / WIDTH)]!);
}

/** A product with a weight of [out, in] as it lies (Gemm) or turned (MatMul). */
function product(weight: Tensor, op: 'Gemm' | 'MatMul'): Model {
  const literals = op === 'Gemm' ? { transB: 1n } : undefined;
  return model({
    nodes: [node(op, ['x', 'w'], 'y', literals)],
    initializers: [weight],
    inputs: [value('x', 'float32', ['n', WIDTH])],
    outputs: [value('y', 'float32', ['n', WIDTH])],
  });
}

async function isOnGrid(
  values: Float32Array,
  float: 'float32' | 'float16' = 'float16',
): Promise<boolean> {
  const lying = await findWeightGrids(product(floats('w', [WIDTH, WIDTH], values, float), 'Gemm'));
  const turned = floats('w', [WIDTH, WIDTH], transposed(values), float);
  const standing = await findWeightGrids(product(turned, 'MatMul'));
  expect(standing.onGrid.length).toBe(lying.onGrid.length);
  return lying.onGrid.length > 0;
}

describe('findWeightGrids', () => {
  it.each([32, 64, 128])(
    'knows weights of 16 levels in blocks of %i, either way round',
    async (size) => {
      expect(await isOnGrid(onGrid(normal(1), size, 16))).toBe(true);
      expect(await isOnGrid(onGrid(normal(2), size, 16), 'float32')).toBe(true);
      expect(await isOnGrid(onGrid(normal(3), size, 8))).toBe(true);
    },
  );

  it('takes floats of any width, and weights of 8, 6 and 5 bits, for what they are', async () => {
    expect(await isOnGrid(normal(4))).toBe(false);
    expect(await isOnGrid(normal(4), 'float32')).toBe(false);
    expect(await isOnGrid(onGrid(normal(5), WIDTH, 255))).toBe(false);
    expect(await isOnGrid(onGrid(normal(5), 32, 255))).toBe(false);
    expect(await isOnGrid(onGrid(normal(6), 32, 64))).toBe(false);
    expect(await isOnGrid(onGrid(normal(6), 32, 32))).toBe(false);
    expect(await isOnGrid(onGrid(normal(6), 128, 32))).toBe(false);
    const bits = Uint16Array.from(normal(7), float32ToBfloat16);
    const weight = inlineTensor('w', 'bfloat16', [WIDTH, WIDTH], new Uint8Array(bits.buffer));
    const { sampled, onGrid: found } = await findWeightGrids(product(weight, 'Gemm'));
    expect([sampled.length, found.length]).toEqual([1, 0]);
  });

  it('takes 4-bit weights with noise of half a step for floats', async () => {
    const rounded = onGrid(normal(8), 32, 16);
    const shaken = noise(9, rounded.length).map((entry, index) => rounded[index]! + entry / 60);
    expect(await isOnGrid(shaken)).toBe(false);
  });

  it('says nothing of ternary, sparse and empty weights', async () => {
    expect(await isOnGrid(onGrid(normal(10), WIDTH, 3))).toBe(false);
    expect(await isOnGrid(normal(11).map((entry, index) => (index % 5 < 3 ? 0 : entry)))).toBe(
      false,
    );
    expect(await isOnGrid(new Float32Array(WIDTH * WIDTH))).toBe(false);
    expect(await isOnGrid(new Float32Array(WIDTH * WIDTH).fill(1 / 128))).toBe(false);
  });

  it('reads a little of some layers, however large they are', async () => {
    let read = 0;
    const dims = [1024, 65_536];
    const weights = Array.from(
      { length: 40 },
      (_, index): Tensor => ({
        name: `w${index}`,
        dataType: 'float16',
        dims,
        source: {
          byteLength: 2 * 1024 * 65_536,
          async read(into) {
            read += into.length;
            into.set(new Uint8Array(noise(index, into.length).buffer).subarray(0, into.length));
          },
        },
      }),
    );
    const many = model({
      nodes: weights.map(({ name }) => node('MatMul', ['x', name], `y_${name}`)),
      initializers: weights,
      inputs: [value('x', 'float16', ['n', 1024])],
      outputs: weights.map(({ name }) => value(`y_${name}`, 'float16', ['n', 65_536])),
    });
    const { sampled, onGrid: found } = await findWeightGrids(many);
    expect([sampled.length, found.length]).toEqual([16, 0]);
    expect(read).toBeLessThan(16 * 8192 + 1);
  });

  it('finds none in the fixtures, which were trained in float', async () => {
    for (const name of ['glm-nano/optimum', 'glm-nano/genai', 'vit-fashion/optimum']) {
      const { sampled, onGrid: found } = await findWeightGrids(await fixture(name));
      expect(sampled.length).toBeGreaterThan(10);
      expect(found).toEqual([]);
    }
  });
});
