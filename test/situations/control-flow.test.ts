/** Bodies of If and Loop beside layers of the main graph. */
import { describe, expect, it } from 'vitest';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { value } from '../kit/models.ts';
import { buildGraph, finishGraph, finishModel } from './graph-builder.ts';
import {
  exportSituation,
  normalSamples,
  quantizeSituation,
  type Samples,
} from './quantize-situation.ts';

const WIDTH = 48;
const rows = (seed: number): Samples => normalSamples([12, 8, WIDTH], seed, 'float16');
const flags: Samples = {
  dataType: 'bool',
  dims: [12, 1],
  values: Array.from({ length: 12 }, (_, i) => i % 2),
};
const ends = {
  inputs: [value('x', 'float16', ['batch', 'sequence', WIDTH])],
  outputs: [value('y', 'float16', ['batch', 'sequence', WIDTH])],
};

/** FP16 layers before and after an If whose branches read a weight and a value of the main graph. */
function sharedWithBranches() {
  const graph = buildGraph('float16');
  const shared = graph.weight('shared.weight', [WIDTH, WIDTH], WIDTH ** -0.5);
  const a = graph.op('MatMul', ['x', shared], { name: '/first/MatMul', output: 'a' });
  const hidden = graph.op('Relu', [graph.linear(a, WIDTH, 80, 'up')]);
  const down = graph.linear(hidden, 80, WIDTH, 'down');
  const branch = (name: string, factor: number) => {
    const body = buildGraph('float16', name);
    const product = body.op('MatMul', ['a', 'shared.weight'], { name: `${name}_product` });
    const scale = body.constant(`${name}_factor`, [], [factor]);
    const output = `${name}_out`;
    body.op('Mul', [product, scale], { output, name: `${name}_mul` });
    return finishGraph(name, body, {
      inputs: [],
      outputs: [value(output, 'float16', ['batch', 'sequence', WIDTH])],
    });
  };
  const chosen = graph.op('If', ['flag'], {
    literals: { then_branch: branch('then', 1), else_branch: branch('else', -1) },
  });
  graph.op('Add', [chosen, down], { output: 'y' });
  return finishModel(graph, { ...ends, inputs: [...ends.inputs, value('flag', 'bool', [1])] });
}

describe('A weight that a branch reads as well', () => {
  it('is stored once, and the layers of the main graph are quantized', async () => {
    const model = sharedWithBranches();
    const { outcome, artifact, sqnr } = await quantizeSituation(
      model,
      { x: rows(1), flag: flags },
      { x: rows(2), flag: flags },
    );
    const schemes = new Map(outcome.plan.layers.map(({ name, scheme }) => [name, scheme]));
    expect(
      [...schemes].filter(([name]) => /up|down/.test(name)).map(([, scheme]) => scheme),
    ).toEqual(['w8a8', expect.stringMatching(/^w8a/)]);
    const copies = [...artifact.graph.initializers.values()].filter(
      ({ name }) => name.startsWith('shared.weight') && !/scale|zero/.test(name),
    );
    expect(copies).toHaveLength(1);
    expect(sqnr.get('y')).toBeGreaterThan(30);
  });

  it('is no obstacle to TensorRT', async () => {
    const data = { x: rows(1), flag: flags };
    expect((await exportSituation(sharedWithBranches(), data, data)).get('y')).toBeGreaterThan(30);
  });
});

describe('An FP16 model of opset 13 with Split and reductions in its branches', () => {
  it('is raised for TensorRT, bodies included, and loads', async () => {
    const graph = buildGraph('float16');
    const [left, right] = ['left', 'right'];
    graph.op('Split', ['x'], { outputs: [left, right], literals: { axis: 2n } });
    const swapped = graph.op('Concat', [right, left], {
      literals: { axis: 2n },
      output: 'swapped',
    });
    const hidden = graph.op('Relu', [graph.linear(swapped, WIDTH, 80, 'up')]);
    const down = graph.linear(hidden, 80, WIDTH, 'down');
    const branch = (name: string, reduction: string) => {
      const body = buildGraph('float16', name);
      const reduced = body.op(reduction, ['swapped'], {
        literals: { axes: [1n], keepdims: 1n },
        name,
        output: `${name}_r`,
      });
      const halves = [`${name}_a`, `${name}_b`];
      body.op('Split', [reduced], {
        outputs: halves,
        literals: { axis: 2n },
        name: `${name}_split`,
      });
      body.op('Concat', halves, {
        literals: { axis: 2n },
        output: `${name}_out`,
        name: `${name}_join`,
      });
      return finishGraph(name, body, {
        inputs: [],
        outputs: [value(`${name}_out`, 'float16', ['batch', 1, WIDTH])],
      });
    };
    graph.initializers.push(inlineTensor('flag', 'bool', [], Uint8Array.of(1)));
    const chosen = graph.op('If', ['flag'], {
      literals: {
        then_branch: branch('mean', 'ReduceMean'),
        else_branch: branch('max', 'ReduceMax'),
      },
    });
    graph.op('Add', [down, chosen], { output: 'y' });
    const model = finishModel(graph, ends, { opset: 13 });
    expect((await exportSituation(model, { x: rows(1) }, { x: rows(2) })).get('y')).toBeGreaterThan(
      30,
    );
  });
});

describe('A Loop that reads a large weight of the main graph', () => {
  /** h = tanh(h + h W), three times. */
  function looped() {
    const graph = buildGraph('float16');
    graph.weight('body.weight', [WIDTH, WIDTH], 0.1);
    const stem = graph.op('Relu', [graph.linear('x', WIDTH, WIDTH, 'stem')]);
    const body = buildGraph('float16', 'body');
    const step = body.op('MatMul', ['h', 'body.weight'], { name: 'body_product' });
    body.op('Tanh', [body.op('Add', ['h', step], { name: 'body_add' })], {
      output: 'h_next',
      name: 'body_tanh',
    });
    body.op('Identity', ['go'], { output: 'go_on', name: 'body_go' });
    graph.initializers.push(inlineTensor('always', 'bool', [], Uint8Array.of(1)));
    const hidden = graph.op('Loop', [graph.integers('trips', [], [3]), 'always', stem], {
      output: 'hidden',
      literals: {
        body: finishGraph('body', body, {
          inputs: [
            value('i', 'int64', []),
            value('go', 'bool', []),
            { name: 'h', type: { kind: 'tensor', dataType: 'float16' } },
          ],
          outputs: [
            value('go_on', 'bool', []),
            { name: 'h_next', type: { kind: 'tensor', dataType: 'float16' } },
          ],
        }),
      },
    });
    const up = graph.op('Relu', [graph.linear(hidden, WIDTH, 80, 'up')]);
    graph.op('Add', [graph.linear(up, 80, WIDTH, 'down'), hidden], { output: 'y' });
    return finishModel(graph, ends);
  }

  it('runs after quantizing and after export, with the layers around it INT8', async () => {
    const { outcome, sqnr } = await quantizeSituation(looped(), { x: rows(1) }, { x: rows(2) });
    const around = outcome.plan.layers.filter(({ name }) => /stem|up|down/.test(name));
    expect(around.map(({ scheme }) => scheme)).not.toContain('float');
    expect(sqnr.get('y')).toBeGreaterThan(28);
    expect(
      (await exportSituation(looped(), { x: rows(1) }, { x: rows(2) })).get('y'),
    ).toBeGreaterThan(28);
  });
});
