import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { multiplyHere } from '../../src/numerics/matrix.ts';
import { axisNorms } from '../../src/prune/axis-norms.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { graphContext } from '../../src/prune/graph-context.ts';
import type { ScoredGroup } from '../../src/prune/importance/importance.ts';
import { IMPORTANCES, importanceOf } from '../../src/prune/importance/index.ts';
import { IMPORTANCE_NAMES } from '../../src/prune/prune-settings.ts';
import { unitWeights } from '../../src/prune/unit-weights.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

/** relu(x [n, 2] * w1 [2, 3]) * w2 [3, 2] */
function network(w1: readonly number[], w2: readonly number[]): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w1'], 'hidden'),
      node('Relu', ['hidden'], 'active'),
      node('MatMul', ['active', 'w2'], 'y'),
    ],
    initializers: [floats('w1', [2, 3], w1), floats('w2', [3, 2], w2, 'float16')],
    inputs: [value('x', 'float32', ['n', 2])],
    outputs: [value('y', 'float32', ['n', 2])],
  });
}

function scored(found: Model, gram?: Float32Array): ScoredGroup {
  const [group] = findGroups(found).groups;
  const { view } = graphContext(found);
  const width = group!.unitCount;
  return {
    group: group!,
    weights: unitWeights(view, group!),
    normScales: [],
    mostPerBlock: 0,
    multiply: multiplyHere,
    moments: async () =>
      gram && {
        width,
        squares: Float32Array.from({ length: width }, (_, at) => gram[at * (width + 1)]!),
        gram,
      },
  };
}

const NETWORK = network([1, -2, 3, 4, 5, -6], [1, -1, 0.5, 0.25, 3, 4]);

async function scores(name: string, group: ScoredGroup): Promise<number[]> {
  const found = await importanceOf(name).score(group);
  if (typeof found === 'string') throw new Error(found);
  return [...found];
}

describe('importance', () => {
  it('is offered under the names that options know', () => {
    expect(IMPORTANCES.map(({ name }) => name)).toEqual([...IMPORTANCE_NAMES]);
    expect(() => importanceOf('taylor')).toThrow(RangeError);
  });

  it('sums magnitudes of the weights that read a channel, or of all of them', async () => {
    const group = scored(NETWORK);
    expect(await scores('l1', group)).toEqual([2, 0.75, 7]);
    expect(await scores('group-l1', group)).toEqual([7, 7.75, 16]);
    const [first, , third] = await scores('l2', group);
    expect([first, third]).toEqual([Math.SQRT2, 5]);
  });

  it('weighs by the norm of the activation where calibration saw it', async () => {
    const gram = Float32Array.of(4, 0, 0, 0, 100, 0, 0, 0, 1);
    expect(await scores('wanda', scored(NETWORK, gram))).toEqual([4, 7.5, 7]);
    expect(await importanceOf('wanda').score(scored(NETWORK))).toBe(
      'no sample reached its channels',
    );
  });

  it('obs is half the output error that least squares leaves when the channel goes', async () => {
    const rows = Float64Array.from(noise(7, 12));
    const gram = new Float32Array(9);
    for (let row = 0; row < 4; row++) {
      for (let a = 0; a < 3; a++) {
        for (let b = 0; b < 3; b++) gram[a * 3 + b]! += rows[row * 3 + a]! * rows[row * 3 + b]!;
      }
    }
    const found = await scores('obs', scored(NETWORK, gram));
    const damping = (0.01 * (gram[0]! + gram[4]! + gram[8]!)) / 3;
    const damped = gram.map((sum, index) => sum + (index % 4 === 0 ? damping : 0));
    const determinant = (m: Float32Array | Float64Array) =>
      m[0]! * (m[4]! * m[8]! - m[5]! * m[7]!) -
      m[1]! * (m[3]! * m[8]! - m[5]! * m[6]!) +
      m[2]! * (m[3]! * m[7]! - m[4]! * m[6]!);
    // The inverse's diagonal is a minor over the determinant; each unit is one channel.
    const minor = (a: number, b: number) =>
      damped[a * 4]! * damped[b * 4]! - damped[a * 3 + b]! ** 2;
    const minors = [minor(1, 2), minor(0, 2), minor(0, 1)];
    const squares = [2, 0.3125, 25];
    const expected = minors.map((at, unit) => (squares[unit]! / 2) * (determinant(damped) / at));
    // float32 sums of the gram, inverted in float64.
    for (const [unit, score] of found.entries()) expect(score / expected[unit]!).toBeCloseTo(1, 4);
  });

  it('obs lets only one of two channels go that say the same', async () => {
    // Channels 0 and 1 are always equal, channel 2 is a weaker one of its own.
    const gram = Float32Array.of(1000, 1000, 0, 1000, 1000, 0, 0, 0, 100);
    const group = scored(NETWORK, gram);
    const [first, second, third] = await scores('obs', group);
    // By themselves either costs less than the channel that nobody can stand in for.
    expect(Math.max(first!, second!)).toBeLessThan(third!);
    const inTurn = await scores('obs', { ...group, mostPerBlock: 2 });
    const [least, middle, most] = [...inTurn].sort((a, b) => a - b);
    expect(inTurn.indexOf(least!)).toBe(1);
    // Once one of them went, the other carries both: W0 + W1 = (1.5, -0.75) on 1000 against (3, 4) on 100.
    expect(inTurn.indexOf(middle!)).toBe(2);
    expect(most! / ((1000 * (1.5 ** 2 + 0.75 ** 2)) / 2)).toBeCloseTo(1, 1);
  });

  it('obs in turns changes nothing where no channel can stand in for another', async () => {
    const group = scored(NETWORK, Float32Array.of(9, 0, 0, 0, 4, 0, 0, 0, 1));
    const plain = await scores('obs', group);
    // Nothing makes up for anything, so turns change nothing.
    expect(await scores('obs', { ...group, mostPerBlock: 2 })).toEqual(plain);
  });

  it('says that there is no BatchNormalization instead of taking another score', async () => {
    expect(await importanceOf('bn-scale').score(scored(NETWORK))).toMatch(/no BatchNormalization/);
  });
});

describe('axisNorms', () => {
  it('adds along any axis of any rank, in float64', async () => {
    const tensor = floats('w', [2, 3, 2], [1, -2, 3, 4, -5, 6, 7, 8, 9, -10, 11, 12]);
    expect([...(await axisNorms({ tensor, axis: 0, scale: undefined }, 1))]).toEqual([21, 57]);
    expect([...(await axisNorms({ tensor, axis: 1, scale: undefined }, 1))]).toEqual([18, 26, 34]);
    expect([...(await axisNorms({ tensor, axis: 2, scale: undefined }, 2))]).toEqual([286, 364]);
  });

  it('refuses a weight that is not finite, naming tensor and channel', async () => {
    const tensor = floats('w', [2, 2], [1, Number.NaN, 2, 3]);
    await expect(axisNorms({ tensor, axis: 1, scale: undefined }, 1)).rejects.toThrow(
      /^w: the weight holds NaN or infinity in channel 1/,
    );
  });
});
