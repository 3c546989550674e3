import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../src/ir/model.ts';
import type { Tensor } from '../../src/ir/tensor.ts';
import { multiplyHere } from '../../src/numerics/matrix.ts';
import { viewGraph } from '../../src/passes/graph-view.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { biasSlot } from '../../src/prune/bias-slot.ts';
import { columnsOf, widthOf } from '../../src/prune/consumer-columns.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { Consumer } from '../../src/prune/follow-units.ts';
import type { Recovery } from '../../src/prune/prune-settings.ts';
import { foldRemoved, standIns } from '../../src/prune/recover/least-squares.ts';
import { type HalvedMoments, recoverWeights } from '../../src/prune/recover/recover-weights.ts';
import { tapChannels } from '../../src/prune/tap-channels.ts';
import { unitWeights } from '../../src/prune/unit-weights.ts';
import { readColumns, writeColumns } from '../../src/prune/weight-columns.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';

const SIZE = 6;
const IMAGES = 40;

/** A net on images `[n, 2, 6, 6]` that gives `y`. */
function net(nodes: readonly Node[], initializers: readonly Tensor[]): Model {
  return model({
    nodes,
    initializers,
    inputs: [value('x', 'float32', ['n', 2, SIZE, SIZE])],
    outputs: [value('y', 'float32', ['n', 'c', 'h', 'w'])],
  });
}

/** Three channels a, b and 2 a - 3 b, read by a filter of `size` x `size`. */
function dependent(size: number, pad: number, ...behind: readonly string[]): Model {
  const pads = Array<bigint>(4).fill(BigInt(pad));
  const shape = { kernel_shape: [BigInt(size), BigInt(size)], pads };
  return net(
    [
      node('Conv', ['x', 'w1', 'b1'], 'hidden'),
      node('Conv', ['hidden', 'w2', ...behind], 'y', shape),
    ],
    [
      floats('w1', [3, 2, 1, 1], [1, 0, 0, 1, 2, -3]),
      floats('b1', [3], [0, 0, 0]),
      floats('w2', [4, 3, size, size], noise(2, 12 * size * size)),
      floats('b2', [4], noise(3, 4)),
    ].filter(({ name }) => name !== 'b2' || behind.includes('b2')),
  );
}

function images(seed: number): OrtTensor {
  const data = noise(seed, IMAGES * 2 * SIZE * SIZE);
  return new OrtTensor('float32', data, [IMAGES, 2, SIZE, SIZE]);
}

async function outputsOf(of: Model, seed: number): Promise<Float32Array> {
  return (await runModel(of, [{ x: images(seed) }])).outputs.get('y')!;
}

/** Sums of x * transpose(x) over what the tap of a product gives in onnxruntime. */
async function gramOf(of: Model, consumer: Consumer, seed: number): Promise<Float32Array> {
  const view = viewGraph(of);
  const columns = columnsOf(view, consumer)!;
  const tapped = tapChannels(of, [consumer], 'columns', () => columns);
  const { name, width } = tapped.tapOf(consumer)!;
  expect(width).toBe(widthOf(columns));
  const { graph } = tapped.model;
  const seen = { ...tapped.model, graph: { ...graph, outputs: [{ name }] } };
  const rows = (await runModel(seen, [{ x: images(seed) }])).outputs.get(name)!;
  const sums = new Float64Array(width * width);
  for (let start = 0; start < rows.length; start += width) {
    for (let a = 0; a < width; a++) {
      for (let b = 0; b < width; b++) sums[a * width + b]! += rows[start + a]! * rows[start + b]!;
    }
  }
  return Float32Array.from(sums);
}

/** The first group of a net without some units, with the moments of two sets of images. */
async function recovered(
  of: Model,
  removed: readonly number[],
  how: Recovery,
  change: (gram: Float32Array) => Float32Array = (gram) => gram,
) {
  const group = findGroups(of).groups[0]!;
  const cuts = [{ group, removed }];
  const found = await recoverWeights({
    model: of,
    cuts,
    how,
    moments: async (consumer): Promise<HalvedMoments> => {
      const first = await gramOf(of, consumer, 11);
      const halves = [first, change(await gramOf(of, consumer, 12))] as const;
      return { width: Math.sqrt(halves[0].length), halves };
    },
    multiply: multiplyHere,
    store: async (tensor) => tensor,
  });
  return { ...found, plain: applyPruning(of, cuts), cut: applyPruning(found.model, cuts) };
}

/** The largest difference from the whole model on images that nothing was fitted to, as a share of its largest value. */
async function lossOf(cut: Model, whole: Model): Promise<number> {
  const [got, want] = [await outputsOf(cut, 13), await outputsOf(whole, 13)];
  const largest = want.reduce((most, at) => Math.max(most, Math.abs(at)), 0);
  return got.reduce((most, at, index) => Math.max(most, Math.abs(at - want[index]!)), 0) / largest;
}

describe('least squares of filters', () => {
  it.each([
    [3, 1],
    [3, 0],
    [1, 0],
  ])('makes up for a sum of two kept channels to rounding, %i x %i', async (size, pad) => {
    const whole = dependent(size, pad);
    const group = findGroups(whole).groups[0]!;
    const weight = unitWeights(viewGraph(whole), group).find(({ consumer }) => consumer)!;
    const columns = weight.columns!;
    expect(columns).toMatchObject({ channels: 3, taps: size * size, bias: undefined });
    const taps = [...Array(columns.taps).keys()];
    const split = {
      gram: await gramOf(whole, weight.consumer!, 11),
      width: widthOf(columns),
      kept: [...Array(2 * columns.taps).keys()],
      removed: taps.map((tap) => 2 * columns.taps + tap),
    };
    const rows = await readColumns({ ...weight, columns });
    const standIn = (await standIns(split, 1e-8, multiplyHere))!;
    // At each position of the filter, of the same position of a and b.
    for (const tap of taps) {
      expect(standIn.values[tap * 2 * taps.length + tap]).toBeCloseTo(2, 3);
      expect(standIn.values[tap * 2 * taps.length + taps.length + tap]).toBeCloseTo(-3, 3);
    }
    const values = await foldRemoved(split, rows, standIn, multiplyHere);
    const folded = writeColumns({ ...weight, columns }, { ...rows, values })!;
    const initializers = new Map(whole.graph.initializers).set('w2', folded);
    const filled = { ...whole, graph: { ...whole.graph, initializers } };
    const cut = applyPruning(filled, [{ group, removed: [2] }]);
    expect(cut.graph.initializers.get('w2')!.dims).toEqual([4, 2, size, size]);
    // float32 sums of some thousand squares.
    expect(await lossOf(cut, whole)).toBeLessThan(1e-4);
  });

  it('is fitted and accepted by what was not fitted, with the padding seen', async () => {
    const whole = dependent(3, 1, 'b2');
    const { cut, plain, recovered: found } = await recovered(whole, [2], 'ls');
    expect(found).toMatchObject([{ how: 'ls', damping: 0.01 }]);
    expect(found[0]!.errorRatio).toBeLessThan(1e-3);
    // The least damping takes about a percent off each factor.
    expect(await lossOf(cut, whole)).toBeLessThan(0.02 * (await lossOf(plain, whole)) + 0.01);
  });

  it('tells channels alone apart where a patch is too wide, and then leaves out a bias at padding', () => {
    const wide = (pad: bigint, channels: number): Model =>
      model({
        nodes: [
          node('Conv', ['x', 'w1'], 'hidden'),
          node('Conv', ['hidden', 'w2', 'b2'], 'y', { pads: [pad, pad, pad, pad] }),
        ],
        initializers: [
          floats('w1', [channels, 2, 1, 1], noise(1, 2 * channels)),
          floats('w2', [2, channels, 3, 3], noise(2, 18 * channels)),
          floats('b2', [2], [1, 2]),
        ],
        inputs: [value('x', 'float32', ['n', 2, SIZE, SIZE])],
        outputs: [value('y', 'float32', ['n', 2, 'h', 'w'])],
      });
    const columns = (of: Model) =>
      columnsOf(viewGraph(of), findGroups(of).groups[0]!.consumers[0]!);
    expect(columns(wide(1n, 256))).toMatchObject({ taps: 9, bias: { value: 'b2' } });
    expect(columns(wide(1n, 257))).toMatchObject({ taps: 1, bias: undefined });
    expect(columns(wide(0n, 257))).toMatchObject({ taps: 1, bias: { value: 'b2' } });
  });

  it('of channels alone, positions together, leaves next to nothing of the error', async () => {
    const channels = 258;
    const spread = noise(5, 2 * channels);
    const whole = net(
      [
        node('Conv', ['x', 'w1'], 'hidden'),
        node('Conv', ['hidden', 'w2', 'b2'], 'y', { kernel_shape: [3n, 3n] }),
      ],
      [
        floats('w1', [channels, 2, 1, 1], spread),
        floats('w2', [4, channels, 3, 3], noise(2, 36 * channels)),
        floats('b2', [4], noise(3, 4)),
      ],
    );
    const { cut, plain, recovered: found } = await recovered(whole, [0, 1, 2, 200], 'ls');
    // Of 254 channels in two dimensions each says the same many times over: damping takes nearly nothing.
    expect(found[0]!.errorRatio).toBeLessThan(1e-4);
    expect(await lossOf(cut, whole)).toBeLessThan(0.01 * (await lossOf(plain, whole)));
  });

  it('belongs to the pointwise filter behind a depthwise one', async () => {
    const whole = net(
      [
        node('Conv', ['x', 'w1'], 'hidden'),
        node('Conv', ['hidden', 'depth'], 'filtered', { group: 4n, pads: [1n, 1n, 1n, 1n] }),
        node('Relu', ['filtered'], 'active'),
        node('Conv', ['active', 'w2'], 'y'),
      ],
      [
        // Channel 3 is a copy of channel 1, in both filters.
        floats('w1', [4, 2, 1, 1], [1, 0, 0, 1, 1, 1, 0, 1]),
        floats('depth', [4, 1, 3, 3], [...noise(1, 27), ...noise(1, 27).subarray(9, 18)]),
        floats('w2', [3, 4, 1, 1], noise(4, 12)),
      ],
    );
    const { cut, recovered: found } = await recovered(whole, [3], 'ls');
    expect(found).toHaveLength(1);
    expect(found[0]!.errorRatio).toBeLessThan(1e-3);
    expect(await lossOf(cut, whole)).toBeLessThan(0.02);
    expect(cut.graph.initializers.get('depth')!.dims).toEqual([3, 1, 3, 3]);
  });

  it('is not tried through filters in groups: their channels stay', () => {
    const grouped = net(
      [
        node('Conv', ['x', 'w1'], 'hidden'),
        node('Conv', ['hidden', 'w2'], 'mixed', { group: 2n }),
        node('Conv', ['mixed', 'w3'], 'y'),
      ],
      [
        floats('w1', [4, 2, 1, 1], noise(1, 8)),
        floats('w2', [4, 2, 1, 1], noise(2, 8)),
        floats('w3', [2, 4, 1, 1], noise(3, 8)),
      ],
    );
    const { groups, declined } = findGroups(grouped);
    expect(groups).toEqual([]);
    expect(declined.map(({ reason }) => reason)).toContain('a convolution of 2 groups');
  });
});

describe('a constant channel', () => {
  /** Channel 2 is 0.75 at every pixel. */
  const constant = (behind: readonly Node[], more: readonly Tensor[], bias: readonly string[]) =>
    net(
      [
        node('Conv', ['x', 'w1', 'b1'], 'hidden'),
        node('Conv', ['hidden', 'w2', ...bias], behind.length === 0 ? 'y' : 'sum', {
          kernel_shape: [3n, 3n],
        }),
        ...behind,
      ],
      [
        floats('w1', [3, 2, 1, 1], [1, 0, 0, 1, 0, 0]),
        floats('b1', [3], [0.5, -0.25, 0.75]),
        floats('w2', [4, 3, 3, 3], noise(2, 108)),
        ...more,
      ],
    );
  const norm = ['scale', 'shift', 'mean', 'variance'];

  it.each<Recovery>(['ls', 'bias'])('is folded into the bias of a filter by %s', async (how) => {
    const whole = constant([], [floats('b2', [4], noise(3, 4))], ['b2']);
    const { cut, plain } = await recovered(whole, [2], how);
    expect(await lossOf(plain, whole)).toBeGreaterThan(0.05);
    // Rounding of float32 sums.
    expect(await lossOf(cut, whole)).toBeLessThan(1e-5);
  });

  it('is folded into the mean of the BatchNormalization behind a filter without a bias', async () => {
    const vectors = norm.map((name, at) =>
      floats(
        name,
        [4],
        [1, 2, 0.5, 3].map((v) => v + at),
      ),
    );
    const whole = constant([node('BatchNormalization', ['sum', ...norm], 'y')], vectors, []);
    const { cut, model: filled } = await recovered(whole, [2], 'bias');
    expect(await lossOf(cut, whole)).toBeLessThan(1e-5);
    for (const name of norm) {
      const isKept = filled.graph.initializers.get(name) === whole.graph.initializers.get(name);
      expect(isKept, name).toBe(name !== 'mean');
    }
  });

  it('is left to least squares alone where nothing can hold a bias, with the reason', async () => {
    const bare = await recovered(constant([], [], []), [2], 'bias');
    expect(bare.recovered).toMatchObject([{ errorRatio: 1, reason: 'it has no bias of its own' }]);
    const both = [node('Relu', ['sum'], 'active'), node('Add', ['active', 'sum'], 'y')];
    const shared = await recovered(constant(both, [], []), [2], 'bias');
    expect(shared.recovered).toMatchObject([{ reason: 'it has no bias of its own' }]);
  });

  it('has no place in a number that all features share', () => {
    const of = (length: number) =>
      model({
        nodes: [
          node('MatMul', ['x', 'w1'], 'hidden'),
          node('MatMul', ['hidden', 'w2'], 'sum'),
          node('Add', ['sum', 'b2'], 'y'),
        ],
        initializers: [
          floats('w1', [2, 3], noise(1, 6)),
          floats('w2', [3, 4], noise(2, 12)),
          floats('b2', [length], noise(3, length)),
        ],
        inputs: [value('x', 'float32', ['n', 2])],
        outputs: [value('y', 'float32', ['n', 4])],
      });
    const slotOf = (whole: Model) =>
      biasSlot(viewGraph(whole), findGroups(whole).groups[0]!.consumers[0]!)?.value;
    expect(slotOf(of(4))).toBe('b2');
    expect(slotOf(of(1))).toBeUndefined();
  });

  it('is left alone where its mean is another one for other samples', async () => {
    const whole = constant([], [floats('b2', [4], noise(3, 4))], ['b2']);
    // In the second half the channel has the opposite sign.
    const { recovered: found, model: filled } = await recovered(whole, [2], 'bias', (gram) => {
      const width = Math.sqrt(gram.length);
      const isFlipped = (at: number): boolean => at >= 18 && at < 27;
      return gram.map((sum, index) =>
        isFlipped(Math.floor(index / width)) === isFlipped(index % width) ? sum : -sum,
      );
    });
    expect(found).toMatchObject([{ how: 'bias', errorRatio: 1, damping: null }]);
    expect(filled).toBe(whole);
  });
});
