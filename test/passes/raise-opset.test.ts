import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { intAttribute, stringAttribute } from '../../src/ir/attributes.ts';
import { type FunctionDefinition, type Model, opsetVersion } from '../../src/ir/model.ts';
import { raiseOpset } from '../../src/passes/raise-opset.ts';
import { model, node, noise, value } from '../kit/models.ts';
import { runModel } from '../kit/run-model.ts';

/** Means, sums and halves of x [2, 6], written for opset 13. */
function old(): Model {
  return model({
    opset: 13,
    nodes: [
      node('ReduceMean', ['x'], 'mean', { axes: [-1n], keepdims: 1n }),
      node('ReduceL2', ['x'], 'norm', { axes: [0n, 1n], keepdims: 1n }),
      node('ReduceMax', ['x'], 'largest', { keepdims: 1n }),
      {
        ...node('Split', ['x'], 'left', { axis: 1n }),
        outputs: ['left', 'right'],
      },
      node('Mul', ['left', 'right'], 'product'),
      node('Add', ['product', 'mean'], 'a'),
      node('Add', ['a', 'norm'], 'b'),
      node('Add', ['b', 'largest'], 'y'),
    ],
    inputs: [value('x', 'float32', [2, 6])],
    outputs: [value('y', 'float32', [2, 3])],
  });
}

describe('raiseOpset', () => {
  it('keeps the meaning: the same outputs in onnxruntime', async () => {
    const x = { x: new OrtTensor('float32', noise(5, 12), [2, 6]) };
    const before = await runModel(old(), [x]);
    for (const to of [18, 19, 21]) {
      const raised = raiseOpset(old(), to);
      expect(opsetVersion(raised)).toBe(to);
      expect((await runModel(raised, [x])).outputs).toEqual(before.outputs);
    }
  });

  it('turns axes into an input and says how many parts a Split makes', () => {
    const raised = raiseOpset(old(), 19);
    expect(raised.graph.nodes[0]!.inputs).toEqual(['x', 'mean_axes']);
    expect(raised.graph.nodes[0]!.attributes.has('axes')).toBe(false);
    expect(raised.graph.nodes[2]!.inputs).toEqual(['x']);
    expect(intAttribute(raised.graph.nodes[3]!, 'num_outputs')).toBe(2);
    expect(raised.irVersion).toBe(9);
  });

  it('adapts the bodies of If', () => {
    const body = old().graph;
    const outer = model({
      opset: 17,
      nodes: [node('If', ['c'], 'y', { then_branch: body, else_branch: body })],
      inputs: [value('c', 'bool', []), value('x', 'float32', [2, 6])],
      outputs: [value('y', 'float32', [2, 3])],
    });
    const branch = raiseOpset(outer, 19).graph.nodes[0]!.attributes.get('then_branch');
    const nodes = branch?.kind === 'graph' ? branch.value.nodes : [];
    expect(nodes[0]!.inputs).toHaveLength(2);
  });

  it('spells out the old default of RoiAlign', () => {
    const source = model({
      opset: 15,
      nodes: [node('RoiAlign', ['x', 'rois', 'batch'], 'y')],
      inputs: [value('x', 'float32', [1, 1, 4, 4])],
      outputs: [value('y', 'float32', [1, 1, 1, 1])],
    });
    const [roiAlign] = raiseOpset(source, 19).graph.nodes;
    expect(stringAttribute(roiAlign!, 'coordinate_transformation_mode')).toBe('output_half_pixel');
  });

  it('gives GridSample the names of opset 20 and refuses what means something else by then', () => {
    const withNode = (opType: string, literals: Parameters<typeof node>[3]) =>
      model({
        opset: 18,
        nodes: [node(opType, ['x', 'grid'], 'y', literals)],
        inputs: [],
        outputs: [],
      });
    const modeOf = (mode: string) =>
      stringAttribute(raiseOpset(withNode('GridSample', { mode }), 21).graph.nodes[0]!, 'mode');
    expect(['bilinear', 'bicubic', 'nearest'].map(modeOf)).toEqual(['linear', 'cubic', 'nearest']);
    expect(raiseOpset(withNode('GridSample', {}), 21).irVersion).toBe(10);
    expect(() => raiseOpset(withNode('DFT', { axis: 1n }), 21)).toThrow(/DFT means something else/);
    const group = withNode('GroupNormalization', { num_groups: 2n });
    expect(() => raiseOpset(group, 21)).toThrow(UnsupportedError);
    expect(opsetVersion(raiseOpset(group, 19))).toBe(19);
  });

  it('adapts local functions, whose constants become nodes, and their opset imports', () => {
    const body = (opset: number): FunctionDefinition => ({
      name: `centre${opset}`,
      domain: 'own',
      inputs: ['a'],
      outputs: ['b'],
      attributeNames: [],
      attributeDefaults: [],
      nodes: [
        node('ReduceMean', ['a'], 'b_axes', { axes: [1n] }),
        node('Sub', ['a', 'b_axes'], 'b'),
      ],
      opsetImports: [{ domain: '', version: opset }],
      valueInfo: new Map(),
    });
    const source: Model = {
      ...model({ opset: 17, nodes: [], inputs: [], outputs: [] }),
      functions: [body(13), body(19)],
    };
    const [raised, kept] = raiseOpset(source, 19).functions;
    expect(raised!.opsetImports).toEqual([{ domain: '', version: 19 }]);
    expect(raised!.nodes.map(({ opType }) => opType)).toEqual(['Constant', 'ReduceMean', 'Sub']);
    expect(raised!.nodes[1]!.inputs).toEqual(['a', raised!.nodes[0]!.outputs[0]]);
    expect(raised!.nodes[0]!.outputs[0]).toBe('b_axes_axes');
    expect(kept).toBe(source.functions[1]);
    const byReference: FunctionDefinition = {
      ...body(13),
      nodes: [
        {
          ...node('ReduceMean', ['a'], 'b'),
          attributes: new Map([
            ['axes', { name: 'axes', kind: 'reference', value: 'over', typeCode: 7 }],
          ]),
        },
      ],
    };
    expect(() => raiseOpset({ ...source, functions: [byReference] }, 19)).toThrow(
      'function centre13: /b/ReduceMean: its attribute "axes" comes from the call of a function, so it cannot be raised to opset 18.',
    );
  });

  it('leaves nodes of other domains alone', () => {
    const source = model({
      opset: 17,
      nodes: [{ ...node('ReduceMean', ['x'], 'y', { axes: [1n] }), domain: 'own' }],
      inputs: [value('x', 'float32', [2, 6])],
      outputs: [value('y', 'float32', [2, 1])],
    });
    expect(raiseOpset(source, 19).graph.nodes).toEqual(source.graph.nodes);
  });

  it('returns a model that is new enough as it is', () => {
    const source = model({ opset: 21, nodes: [], inputs: [], outputs: [] });
    expect(raiseOpset(source, 19)).toBe(source);
  });

  it('refuses what it cannot adapt', () => {
    const ancient = model({ opset: 10, nodes: [], inputs: [], outputs: [] });
    expect(() => raiseOpset(ancient, 19)).toThrow(UnsupportedError);
    const training = model({
      opset: 13,
      nodes: [
        {
          ...node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], 'y'),
          outputs: ['y', 'm2', 'v2'],
        },
      ],
      inputs: [],
      outputs: [],
    });
    expect(() => raiseOpset(training, 19)).toThrow(/BatchNormalization in training form/);
  });
});
