import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { cuttableGroups } from '../../src/prune/cuttable-groups.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { findPrunable } from '../../src/prune/prunable.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { GLM_9B, makeGlmDecoder } from '../models/glm-decoder.ts';

/** relu(x [n, 3] * w1 [3, width] + b1) * w2 [width, 5] */
function network(width: number): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w1'], 'product'),
      node('Add', ['product', 'b1'], 'hidden'),
      node('Relu', ['hidden'], 'active'),
      node('MatMul', ['active', 'w2'], 'y'),
    ],
    initializers: [
      floats('w1', [3, width], noise(1, 3 * width)),
      floats('b1', [width], noise(2, width)),
      floats('w2', [width, 5], noise(3, 5 * width), 'float16'),
    ],
    inputs: [value('x', 'float32', ['n', 3])],
    outputs: [value('y', 'float32', ['n', 5])],
  });
}

describe('findPrunable', () => {
  it('counts what a step saves: of a channel its column, its bias and its row', () => {
    const { parameterCount, byteLength, groups, declined } = findPrunable(network(40));
    // 3 * 40 + 40 in 4 bytes, 40 * 5 in 2.
    expect([parameterCount, byteLength]).toEqual([360, 4 * 160 + 2 * 200]);
    expect(groups).toEqual([
      {
        name: expect.any(String),
        kind: 'ffn',
        units: 40,
        blocks: 1,
        step: 8,
        steps: 4,
        parametersPerStep: 8 * (3 + 1 + 5),
        bytesPerStep: 8 * (4 * 3 + 4 + 2 * 5),
        share: 1,
      },
    ]);
    expect(declined.map(({ node: at }) => at)).toEqual(['x']);
  });

  it('has no step where the width is the least that is aligned', () => {
    const [group] = findPrunable(network(8)).groups;
    expect(group).toMatchObject({ units: 8, step: 1, steps: 0, parametersPerStep: 9 });
  });

  it('describes layers of GLM-4.1V-9B without a byte of their weights', () => {
    const whole = makeGlmDecoder({ ...GLM_9B, layers: 4 }, (name, byteLength) => ({
      byteLength,
      key: name,
      read: () => Promise.reject(new Error(`${name} was read`)),
    }));
    const { groups } = findPrunable(whole);
    const kinds = [
      ...new Set(groups.map(({ name: _, share: __, ...figures }) => JSON.stringify(figures))),
    ];
    expect(kinds.map((text) => JSON.parse(text))).toEqual([
      // A head of 128 in q with its bias and in o, once for each of two key heads.
      {
        kind: 'heads',
        units: 32,
        blocks: 2,
        step: 2,
        steps: 15,
        parametersPerStep: 2 * 128 * (4096 + 1 + 4096),
        bytesPerStep: 2 * 2 * 128 * (4096 + 1 + 4096),
      },
      // 128 columns each of gate and up, and as many rows of down.
      {
        kind: 'ffn',
        units: 13696,
        blocks: 1,
        step: 128,
        steps: 106,
        parametersPerStep: 128 * 3 * 4096,
        bytesPerStep: 2 * 128 * 3 * 4096,
      },
    ]);
    expect(groups).toHaveLength(8);
  });
});

describe('cuttableGroups', () => {
  it('declines the groups whose sizes cannot follow and keeps those around them', () => {
    // Five networks side by side; the third asks for its width by a shape that the caller gives.
    const parts = [0, 1, 2, 3, 4].map((index) => {
      const name = (stem: string): string => `${stem}${index}`;
      const hidden = name('hidden');
      return {
        nodes: [
          node('MatMul', ['x', name('w')], name('product')),
          index === 2
            ? node('Reshape', [name('product'), 'target'], hidden)
            : node('Relu', [name('product')], hidden),
          node('MatMul', [hidden, name('v')], name('y')),
        ],
        initializers: [
          floats(name('w'), [3, 16], noise(index, 48)),
          floats(name('v'), [16, 5], noise(index, 80)),
        ],
      };
    });
    const side = model({
      nodes: parts.flatMap(({ nodes }) => nodes),
      initializers: parts.flatMap(({ initializers }) => initializers),
      inputs: [value('x', 'float32', ['n', 3]), value('target', 'int64', [2])],
      outputs: [0, 1, 2, 3, 4].map((index) => value(`y${index}`, 'float32', ['n', 5])),
    });
    const found = findGroups(side);
    expect(found.groups).toHaveLength(5);
    const { groups, declined } = cuttableGroups(side, found);
    expect(groups.map(({ consumers }) => consumers[0]!.node.outputs[0])).toEqual([
      'y0',
      'y1',
      'y3',
      'y4',
    ]);
    expect(declined.at(-1)).toEqual({
      name: found.groups[2]!.name,
      node: '/hidden2/Reshape',
      reason: 'its size cannot follow the cut (the sizes it makes are known only in a run).',
    });
  });
});
