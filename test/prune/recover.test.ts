import { describe, expect, it } from 'vitest';
import { readTensorBytes } from '../../src/ir/tensor.ts';
import { multiplyHere } from '../../src/numerics/matrix.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { foldRemoved, outputError, standIns } from '../../src/prune/recover/least-squares.ts';
import { recoverWeights } from '../../src/prune/recover/recover-weights.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

/** Second moments of rows in which the last channel is `a * first + b * second`. */
function dependentGram(rows: number, a: number, b: number, seed: number): Float32Array {
  const data = noise(seed, rows * 2);
  const gram = new Float32Array(9);
  for (let row = 0; row < rows; row++) {
    const [x, y] = [data[2 * row]!, data[2 * row + 1]!];
    const z = [x, y, a * x + b * y];
    for (let i = 0; i < 9; i++) gram[i]! += z[Math.floor(i / 3)]! * z[i % 3]!;
  }
  return gram;
}

const split = (gram: Float32Array) => ({ gram, width: 3, kept: [0, 1], removed: [2] });

describe('least squares', () => {
  it('finds how kept channels make up a removed one, and that nothing is left of the error', async () => {
    const gram = dependentGram(50, 2, -3, 1);
    const found = (await standIns(split(gram), 1e-9, multiplyHere))!;
    // float32 sums.
    expect(found.values[0]).toBeCloseTo(2, 3);
    expect(found.values[1]).toBeCloseTo(-3, 3);
    const rows = { values: Float32Array.of(1, 0, 0, 1, 5, 7), length: 2 };
    const before = await outputError(split(gram), rows, undefined, multiplyHere);
    expect(before).toBeCloseTo(74 * gram[8]!, 2);
    expect((await outputError(split(gram), rows, found, multiplyHere)) / before).toBeLessThan(1e-5);
    const exact = { rows: 1, columns: 2, values: Float64Array.of(2, -3) };
    expect([...(await foldRemoved(split(gram), rows, exact, multiplyHere))]).toEqual([
      11, 14, -15, -20, 5, 7,
    ]);
  });

  it('shrinks with damping, and gives up on channels that were never active', async () => {
    const gram = dependentGram(50, 2, -3, 1);
    const [free, damped] = [1e-9, 10].map((damping) =>
      standIns(split(gram), damping, multiplyHere),
    );
    expect(Math.abs((await damped)!.values[0]!)).toBeLessThan(Math.abs((await free)!.values[0]!));
    expect(await standIns(split(new Float32Array(9)), 0.1, multiplyHere)).toBeUndefined();
  });
});

describe('recoverWeights', () => {
  const network = model({
    nodes: [
      node('MatMul', ['x', 'w1'], 'hidden'),
      node('Relu', ['hidden'], 'active'),
      node('MatMul', ['active', 'w2'], 'y'),
    ],
    initializers: [floats('w1', [2, 3], noise(1, 6)), floats('w2', [3, 2], [1, 0, 0, 1, 5, 7])],
    inputs: [value('x', 'float32', ['n', 2])],
    outputs: [value('y', 'float32', ['n', 2])],
  });
  const [group] = findGroups(network).groups;
  const cuts = [{ group: group!, removed: [2] }];

  async function recover(halves: readonly [Float32Array, Float32Array]) {
    return recoverWeights({
      model: network,
      cuts,
      how: 'ls',
      moments: async () => ({ width: 3, halves }),
      multiply: multiplyHere,
      store: async (tensor) => tensor,
    });
  }

  it('folds what goes into what stays, and leaves the cut to the cut', async () => {
    const { model: found, recovered } = await recover([
      dependentGram(400, 2, -3, 1),
      dependentGram(400, 2, -3, 2),
    ]);
    expect(recovered[0]!.errorRatio).toBeLessThan(0.01);
    const weight = applyPruning(found, cuts).graph.initializers.get('w2')!;
    expect(weight.dims).toEqual([2, 2]);
    const values = new Float32Array((await readTensorBytes(weight)).buffer);
    // A damping of one percent takes a little off 11, 14, -15 and -20.
    [11, 14, -15, -20].forEach((expected, index) => {
      expect(values[index]! / expected).toBeGreaterThan(0.97);
      expect(values[index]! / expected).toBeLessThan(1.001);
    });
  });

  it('leaves a weight alone where what was fitted does not hold for other samples', async () => {
    const { model: found, recovered } = await recover([
      dependentGram(400, 2, -3, 1),
      dependentGram(400, -2, 3, 2),
    ]);
    expect(found).toBe(network);
    expect(recovered).toEqual([{ group: group!.name, how: 'ls', errorRatio: 1, damping: null }]);
  });
});
