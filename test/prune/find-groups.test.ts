import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import type { Model, ValueInfo } from '../../src/ir/model.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup } from '../../src/prune/group.ts';
import { AXIS_RULES } from '../../src/prune/rules/index.ts';
import { floats, model, node, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';

/** kind, units, equal stretches, in how many layers */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'glm-nano/dynamo-opset18': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/dynamo-opset23': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/genai': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/optimum': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/torchscript': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'vit-fashion/dynamo-opset18': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
  'vit-fashion/optimum': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
  'vit-fashion/torchscript-opset14': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
};

function count(groups: readonly PruneGroup[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { kind, unitCount, blockCount } of groups) {
    const line = `${kind} of ${unitCount} in ${blockCount}`;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, times]) => `${times} x ${line}`);
}

describe('AXIS_RULES', () => {
  it('say of each operator once what it does to an axis', () => {
    const operators = AXIS_RULES.flatMap(({ domains = [''], opTypes }) =>
      domains.flatMap((domain) => opTypes.map((opType) => `${domain}:${opType}`)),
    );
    expect(operators.filter((operator, index) => operators.indexOf(operator) !== index)).toEqual(
      [],
    );
  });
});

describe('findGroups', () => {
  it.each(Object.entries(EXPECTED))(
    'finds every head and hidden channel of %s, whatever spells them',
    async (folder, expected) => {
      const { model: opened } = await openModelOnDisk(join(root, 'fixtures', folder));
      const { groups, declined } = findGroups(opened);
      expect(count(groups)).toEqual(expected);
      // What is left are the products that read the residual stream.
      const reasons = new Set(declined.map(({ reason }) => reason));
      for (const reason of reasons)
        expect(reason).toMatch(/residual width|ReduceMean over|is an input of/);
    },
  );
});

describe('findGroups on odd files', () => {
  const small = (domain: string, input: ValueInfo): Model => {
    const nodes = [
      node('MatMul', ['x', 'w1'], 'h'),
      node('Relu', ['h'], 'a'),
      node('MatMul', ['a', 'w2'], 'y'),
    ].map((one) => ({ ...one, domain }));
    const weights = [
      floats('w1', [2, 3], Array(6).fill(1)),
      floats('w2', [3, 2], Array(6).fill(1)),
    ];
    return {
      ...model({
        nodes,
        initializers: weights,
        inputs: [input],
        outputs: [value('y', 'float32', ['n', 2])],
      }),
      opsetImports: [{ domain, version: 18 }],
    };
  };

  it('reads ai.onnx under its own name, and no namesake of another domain', () => {
    const x = value('x', 'float32', ['n', 2]);
    expect(count(findGroups(small('ai.onnx', x)).groups)).toEqual(['1 x ffn of 3 in 1']);
    expect(findGroups(small('com.microsoft', x))).toEqual({ groups: [], declined: [] });
  });

  it('says of a cache without a shape that it is an input, and of a product without one that it is unknown', () => {
    const cache = { ...value('past_key_values.0.key', 'float32', []), type: undefined };
    const base = small('', value('x', 'float32', ['n', 2]));
    const nodes = base.graph.nodes.map((one) => ({
      ...one,
      inputs: one.inputs.map((name) => (name === 'x' ? cache.name : name)),
    }));
    const { type: _, ...bare } = cache;
    const open = { ...base, graph: { ...base.graph, nodes, inputs: [bare] } };
    const found = findGroups(open);
    expect(found.groups).toEqual([]);
    expect(found.declined[0]).toEqual({
      name: 'h',
      node: '/h/MatMul',
      reason: 'the shape of its input is unknown',
    });
  });

  it('says of a weight that does not fit its input by how much', () => {
    const base = small('', value('x', 'float32', ['n', 2]));
    const initializers = new Map(base.graph.initializers).set(
      'w2',
      floats('w2', [4, 2], Array(8).fill(1)),
    );
    const found = findGroups({ ...base, graph: { ...base.graph, initializers } });
    expect(found.groups).toEqual([]);
    expect(found.declined[1]).toMatchObject({
      node: 'a',
      reason: 'a has 3 along axis 1 (expected 4 channels)',
    });
  });

  it('says of a convolution in groups and of packed integers why their channels stay', () => {
    const image = value('x', 'float32', ['n', 4, 6, 6]);
    const grouped = model({
      nodes: [node('Conv', ['x', 'w'], 'y', { group: 2n })],
      initializers: [floats('w', [4, 2, 1, 1], Array(8).fill(1))],
      inputs: [image],
      outputs: [value('y', 'float32', ['n', 4, 6, 6])],
    });
    expect(findGroups(grouped).declined.map(({ reason }) => reason)).toEqual([
      'a convolution of 2 groups',
    ]);
    const packed = { ...node('MatMulNBits', ['x', 'w'], 'y'), domain: 'com.microsoft' };
    const quantized = model({
      nodes: [packed],
      inputs: [image],
      outputs: [value('y', 'float32', ['n', 4, 6, 6])],
    });
    expect(findGroups(quantized).declined.map(({ reason }) => reason)).toEqual([
      'its weight is packed integers: prune the float model, then quantize',
    ]);
  });
});
