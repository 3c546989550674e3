import { describe, expect, it } from 'vitest';
import { FormatError, UnsupportedError } from '../../src/errors.ts';
import { attributes } from '../../src/ir/attributes.ts';
import type { FunctionDefinition, Model, Node } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { validate } from '../../src/ir/validate.ts';
import { inlineFunctions } from '../../src/passes/inline-functions.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { model, node, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { makeFeeds, runOnce } from '../kit/run-once.ts';

const context = { decline: () => {} };

function inlined(source: Model): Model {
  return inlineFunctions.run(source, context);
}

function call(name: string, input: string, output: string, domain = 'pkg'): Node {
  return { ...node(name, [input], output), domain };
}

/** A function of one input `a` and one output `b`. */
function definition(
  name: string,
  nodes: readonly Node[],
  parts: Partial<FunctionDefinition> = {},
): FunctionDefinition {
  return {
    name,
    domain: 'pkg',
    inputs: ['a'],
    outputs: ['b'],
    attributeNames: [],
    attributeDefaults: [],
    nodes,
    opsetImports: [
      { domain: '', version: 18 },
      { domain: 'pkg', version: 1 },
    ],
    valueInfo: new Map(),
    ...parts,
  };
}

/** `y` is what the first function makes of `x`. */
function calling(functions: readonly FunctionDefinition[]): Model {
  const [first] = functions;
  const source = model({
    nodes: [call(first!.name, 'x', 'y', first!.domain)],
    inputs: [value('x', 'float32', [2, 3])],
    outputs: [value('y', 'float32', [2, 3])],
  });
  const domains = new Set(functions.map(({ domain }) => domain));
  const imports = [...domains].map((domain) => ({ domain, version: 1 }));
  return { ...source, opsetImports: [...source.opsetImports, ...imports], functions };
}

describe('inlining functions', () => {
  it.each(['functions.onnx', 'functions-overload.onnx'])(
    'gives the outputs that onnxruntime gives for functions, also for %s',
    async (file) => {
      // onnxruntime does not know overloads; the other file has the same bodies under names of their own.
      const plain = await openModel(`${root}fixtures/onnx/functions.onnx`);
      const source = await openModel(`${root}fixtures/onnx/${file}`);
      const result = inlined(source);
      expect(result.functions).toEqual([]);
      expect(validate(result)).toEqual([]);
      const { initializers } = source.graph;
      const reference = { ...plain, graph: { ...plain.graph, initializers } };
      const feeds = makeFeeds(source);
      expect(await runOnce(result, feeds)).toEqual(await runOnce(reference, feeds));
    },
  );

  it('raises the model where a function is newer, and an older function with it', async () => {
    const centre = definition(
      'Centre',
      [node('ReduceMean', ['a'], 'mean', { axes: [1n] }), node('Sub', ['a', 'mean'], 'b')],
      { opsetImports: [{ domain: '', version: 13 }] },
    );
    const axis = inlineTensor('axis', 'int64', [1], new Uint8Array(BigInt64Array.of(0n).buffer));
    const scaled = definition('Scaled', [
      node('Constant', [], 'axis', { value: axis }),
      node('ReduceMax', ['a', 'axis'], 'largest'),
      node('Div', ['a', 'largest'], 'b'),
    ]);
    const source = calling([centre, scaled]);
    const nodes = [
      node('ReduceMin', ['x'], 'least', { axes: [1n] }),
      node('Sub', ['x', 'least'], 'p'),
      call('Centre', 'p', 'q'),
      call('Scaled', 'q', 'y'),
    ];
    const result = inlined({
      ...source,
      opsetImports: [
        { domain: '', version: 17 },
        { domain: 'pkg', version: 1 },
      ],
      graph: { ...source.graph, nodes },
    });
    expect(result.opsetImports).toEqual([{ domain: '', version: 18 }]);
    const feeds = new Map([['x', { dims: [2, 3], values: [1, 2, 6, -1, 0, 4] }]]);
    const found = await runOnce(result, feeds);
    // 0, 1, 5 and 0, 1, 5, less their mean 2, over the largest of each column.
    expect(found.get('y')!.values).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('copies an input that is an output at the same time, and an output that is given twice', async () => {
    const both = definition('Both', [node('Neg', ['a'], 'c')], { outputs: ['a', 'c', 'c'] });
    const source = calling([both]);
    const [only] = source.graph.nodes;
    const nodes = [{ ...only!, outputs: ['same', 'less', 'y'] }];
    const result = inlined({ ...source, graph: { ...source.graph, nodes } });
    expect(
      result.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs]),
    ).toEqual([
      ['Neg', ['x'], ['less']],
      ['Identity', ['x'], ['same']],
      ['Identity', ['less'], ['y']],
    ]);
    const left = { ...source, graph: { ...source.graph, nodes: [{ ...nodes[0]!, inputs: [] }] } };
    expect(() => inlined(left)).toThrow('hands on input "a", which the call leaves out');
  });

  it('names nodes after the call and what they are in the function', async () => {
    const nodes = [node('Relu', ['a'], 'c'), { ...node('Neg', ['c'], 'b'), name: '' }];
    const [relu, negative] = inlined(calling([definition('Layer', nodes)])).graph.nodes;
    expect(relu!.name).toBe('/y/Layer/c/Relu');
    expect(negative!.name).toBe('/y/Layer/Neg');
    expect(negative!.outputs).toEqual(['y']);
  });

  it('refuses functions that call themselves', () => {
    const one = definition('One', [call('Two', 'a', 'b')]);
    const two = definition('Two', [call('One', 'a', 'b')]);
    expect(() => inlined(calling([one, two]))).toThrow(FormatError);
    expect(() => inlined(calling([one, two]))).toThrow(
      'function pkg:One: calls itself (One -> Two -> One).',
    );
  });

  it('refuses functions that stand for more than memory holds, without expanding them', () => {
    const functions = Array.from({ length: 40 }, (_, level) =>
      definition(
        `F${level}`,
        level === 39
          ? [node('Relu', ['a'], 'b')]
          : [call(`F${level + 1}`, 'a', 'c'), call(`F${level + 1}`, 'c', 'b')],
      ),
    );
    expect(() => inlined(calling(functions))).toThrow(FormatError);
    expect(() => inlined(calling(functions))).toThrow(
      /its local functions stand for more than 2000000/,
    );
  });

  it('refuses chains of calls that are deeper than any export', () => {
    const functions = Array.from({ length: 200 }, (_, level) =>
      definition(`F${level}`, [
        level === 199 ? node('Relu', ['a'], 'b') : call(`F${level + 1}`, 'a', 'b'),
      ]),
    );
    const message = /more than 100 functions call each other in turn/;
    expect(() => inlined(calling(functions))).toThrow(message);
    // Measured from the end, no single walk is that deep.
    const backward = calling(functions);
    const nodes = functions
      .map(({ name }, level) =>
        call(name, level === 199 ? 'x' : `v${level + 1}`, level === 0 ? 'y' : `v${level}`),
      )
      .reverse();
    expect(() => inlined({ ...backward, graph: { ...backward.graph, nodes } })).toThrow(message);
  });

  it('inlines twenty thousand calls of one name in a second or two', () => {
    const leaf = definition('Leaf', [node('Relu', ['a'], 'c'), node('Neg', ['c'], 'b')]);
    const chain = (count: number, name: string): Node[] =>
      Array.from({ length: count }, (_, index) =>
        call(name, index === 0 ? 'a' : `c${index}`, index === count - 1 ? 'b' : `c${index + 1}`),
      ).map((entry) => ({ ...entry, name: 'same' }));
    const hundred = definition('Hundred', chain(100, 'Leaf'));
    const all = definition('All', chain(200, 'Hundred'));
    const started = performance.now();
    expect(inlined(calling([all, hundred, leaf])).graph.nodes).toHaveLength(40_000);
    // Making each name free by counting from 1 took 40 s.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('refuses a call with more inputs than the function has', () => {
    const source = calling([definition('Layer', [node('Relu', ['a'], 'b')])]);
    const [only] = source.graph.nodes;
    const nodes = [{ ...only!, inputs: ['x', 'x'] }];
    expect(() => inlined({ ...source, graph: { ...source.graph, nodes } })).toThrow(
      'node /y/Layer: has more inputs than function pkg:Layer (got 2, expected at most 1).',
    );
  });

  it('refuses a body that cannot be raised to the opset of the model, naming function and node', () => {
    const training = node('BatchNormalization', ['a', 's', 's', 's', 's'], 'b');
    const old = definition(
      'Norm',
      [node('Relu', ['a'], 's'), { ...training, outputs: ['b', 'mean', 'variance'] }],
      { opsetImports: [{ domain: '', version: 13 }] },
    );
    expect(() => inlined(calling([old]))).toThrow(UnsupportedError);
    expect(() => inlined(calling([old]))).toThrow(
      /^function pkg:Norm: \/y\/Norm\/b\/BatchNormalization: BatchNormalization in training form/,
    );
  });

  it('refuses operators of another version of their domain than the model has', () => {
    const tree = { ...node('Own', ['a'], 'b'), domain: 'vendor' };
    const source = calling([
      definition('Layer', [tree], { opsetImports: [{ domain: 'vendor', version: 2 }] }),
    ]);
    const vendor = { domain: 'vendor', version: 1 };
    expect(() => inlined({ ...source, opsetImports: [...source.opsetImports, vendor] })).toThrow(
      'function pkg:Layer: node /b/Own (Own) is of another version of vendor than the model (got 2, expected 1).',
    );
  });

  it('takes over the domains that only functions import', () => {
    const gelu = { ...node('Gelu', ['a'], 'b'), domain: 'com.microsoft' };
    const microsoft = { domain: 'com.microsoft', version: 1 };
    const source = calling([
      definition('Layer', [gelu], { opsetImports: [{ domain: '', version: 18 }, microsoft] }),
    ]);
    expect(inlined(source).opsetImports).toEqual([{ domain: '', version: 18 }, microsoft]);
  });

  it('leaves an attribute out that the body refers to and nobody gives', () => {
    const reference = { name: 'axis', kind: 'reference', value: 'over', typeCode: 2 } as const;
    const softmax = { ...node('Softmax', ['a'], 'b'), attributes: new Map([['axis', reference]]) };
    const source = calling([definition('Layer', [softmax], { attributeNames: ['over'] })]);
    expect(inlined(source).graph.nodes[0]!.attributes.size).toBe(0);
    const [only] = source.graph.nodes;
    const nodes = [{ ...only!, attributes: attributes({ over: 0n }) }];
    const given = inlined({ ...source, graph: { ...source.graph, nodes } });
    expect(given.graph.nodes[0]!.attributes.get('axis')).toEqual({
      name: 'axis',
      kind: 'int',
      value: 0n,
    });
  });
});
