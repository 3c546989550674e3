import { describe, expect, it } from 'vitest';
import { tapValues } from '../../src/calibrate/tap-values.ts';
import type { Model, Node } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';

function node(opType: string, inputs: readonly string[], output: string): Node {
  return { name: '', opType, domain: '', inputs, outputs: [output], attributes: new Map() };
}

const weight = (name: string): [string, ReturnType<typeof inlineTensor>] => [
  name,
  inlineTensor(name, 'float32', [1], new Uint8Array(4)),
];

/** x -> h (with w) -> y (with head). */
const model: Model = {
  irVersion: 8,
  opsetImports: [{ domain: '', version: 17 }],
  functions: [],
  storage: { external: false, files: [] },
  graph: {
    name: 'g',
    nodes: [node('Mul', ['x', 'w'], 'h'), node('Mul', ['h', 'head'], 'y')],
    inputs: [{ name: 'x', type: { kind: 'tensor', dataType: 'float32', shape: [1] } }],
    outputs: [{ name: 'y', type: { kind: 'tensor', dataType: 'float32', shape: [1] } }],
    initializers: new Map([weight('w'), weight('head')]),
    sparseInitializers: [],
    valueInfo: new Map(),
  },
};

describe('tapping values', () => {
  it('leaves only the nodes and constants that they need', () => {
    const { graph } = tapValues(model, ['h']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['h']);
    expect(graph.nodes).toEqual([model.graph.nodes[0]]);
    expect([...graph.initializers.keys()]).toEqual(['w']);
    expect(graph.inputs).toBe(model.graph.inputs);
    expect(model.graph.nodes).toHaveLength(2);
  });

  it('declares the inferred element type of a value that the file does not describe', () => {
    const [tap] = tapValues(model, ['h']).graph.outputs;
    expect(tap?.type).toMatchObject({ kind: 'tensor', dataType: 'float32' });
  });

  it('keeps the order asked for and the declared outputs', () => {
    const { graph } = tapValues(model, ['y', 'h']);
    expect(graph.outputs[0]).toBe(model.graph.outputs[0]);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['y', 'h']);
  });

  it('gives out an initializer as it is, with its type', () => {
    const { graph } = tapValues(model, ['head']);
    expect(graph.nodes).toEqual([]);
    expect([...graph.initializers.keys()]).toEqual(['head']);
    expect(graph.outputs).toMatchObject([{ name: 'head', type: { dataType: 'float32' } }]);
  });

  it('refuses what the graph does not hold', () => {
    expect(() => tapValues(model, ['z'])).toThrow(/^value z: no node of the main graph/);
  });
});
