import { describe, expect, it } from 'vitest';
import { UnsupportedError, UsageError } from '../../src/errors.ts';
import type { Model } from '../../src/ir/model.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import type { PlannedLayer } from '../../src/quantize/quantization-plan.ts';
import { builtInRecipe, parseRecipe } from '../../src/recipe/load.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { floats, linearModel, model, node, noise, ranges, value } from '../kit/models.ts';
import { fixture } from '../kit/run-model.ts';

const w8a8 = builtInRecipe('w8a8');

function matrix(name: string, rows: number, columns: number) {
  return floats(name, [rows, columns], noise(rows + columns, rows * columns), 'float16');
}

/** x -> first -> tanh -> second -> tanh -> third (the head). */
function chain(): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'first'], 'a'),
      node('Tanh', ['a'], 'b'),
      node('MatMul', ['b', 'second'], 'c'),
      node('Tanh', ['c'], 'd'),
      node('MatMul', ['d', 'third'], 'y'),
    ],
    initializers: [matrix('first', 16, 32), matrix('second', 32, 32), matrix('third', 32, 64)],
    inputs: [value('x', 'float16', ['n', 's', 16])],
    outputs: [value('y', 'float16', ['n', 's', 64])],
  });
}

const all = ranges({ x: [-3, 5], b: [-1, 1], d: [-1, 1] });

function schemes(layers: readonly PlannedLayer[]): string[] {
  return layers.map(({ scheme, reason }) =>
    reason === undefined ? scheme : `${scheme}: ${reason}`,
  );
}

describe('planQuantization', () => {
  it('gives layers the default and the head its own scheme', () => {
    const plan = planQuantization(chain(), w8a8, all);
    expect(schemes(plan.layers)).toEqual(['w8a8', 'w8a8', 'w8a16: head']);
    expect(plan.totals.layers).toMatchObject({ w8a8: 2, w8a16: 1, float: 0 });
  });

  it('takes scale and zero point from the range: -3..5 gives 8/255 and 96', () => {
    const [layer] = planQuantization(chain(), w8a8, all).layers;
    expect(layer!.activation).toEqual({
      tensor: 'x',
      min: -3,
      max: 5,
      calibrator: 'minmax',
      dataType: 'uint8',
      scale: Math.fround(8 / 255),
      zeroPoint: 96,
    });
  });

  it('puts the zero point of a symmetric recipe in the middle: 2 * 5 / 255 and 128', () => {
    const recipe = parseRecipe('{ name: s, activations: { symmetric: true } }', 'test');
    const [layer] = planQuantization(chain(), recipe, all).layers;
    expect(layer!.activation).toMatchObject({ scale: Math.fround(10 / 255), zeroPoint: 128 });
  });

  it('gives the head and gated down projections two planes where the recipe says so', async () => {
    const source = await fixture('glm-nano/optimum');
    const known = ranges(
      Object.fromEntries(findLinears(source).map(({ input }) => [input, [-1, 1]])),
    );
    const recipe = parseRecipe('{ name: planes, head: w8a8x2, gatedDown: w8a8x2 }', 'test');
    const plan = planQuantization(source, recipe, known);
    const inPlanes = plan.layers.filter(({ scheme }) => scheme === 'w8a8x2');
    expect(inPlanes.map(({ role, reason }) => `${role}: ${reason}`)).toEqual([
      ...new Array(6).fill('down: gated down'),
      'head: head',
    ]);
    expect(inPlanes.every(({ activation }) => activation?.scale === Math.fround(2 / 255))).toBe(
      true,
    );
    // Without a range the weight alone is left.
    const blind = planQuantization(source, recipe, new Map([...known].slice(0, 1)));
    expect(blind.totals.layers.w8a8x2).toBe(0);
  });

  it('lets the last matching rule win, over the head setting too', () => {
    const names = planQuantization(chain(), w8a8, all).layers.map(({ name }) => name);
    const recipe = parseRecipe(
      JSON.stringify({
        name: 'rules',
        rules: [
          { op: 'MatMul', scheme: 'float' },
          { match: `^${names[1]}$`, scheme: 'w8a16' },
          { role: 'head', scheme: 'w8a8' },
          { match: 'no such layer', scheme: 'float' },
          { op: 'Conv', role: 'down', scheme: 'float' },
        ],
      }),
      'test',
    );
    const plan = planQuantization(chain(), recipe, all);
    expect(schemes(plan.layers)).toEqual(['float: rule 1', 'w8a16: rule 2', 'w8a8: rule 3']);
    expect(plan.unmatchedRules).toEqual([
      'rule 4 (match "no such layer")',
      'rule 5 (op Conv, role down)',
    ]);
  });

  it('counts INT8 values and FP32 scales: 16x32 goes from 1024 to 640 bytes', () => {
    const plan = planQuantization(chain(), w8a8, all);
    expect(plan.layers[0]!.weight).toMatchObject({ bytesBefore: 1024, bytesAfter: 512 + 128 });
    expect(plan.totals.bytesBefore).toBe(1024 + 2048 + 4096);
    expect(plan.totals.bytesAfter).toBe(640 + (1024 + 128) + (2048 + 256));
    expect(plan.totals.quantizedShare).toBe(1);
  });

  it('falls back to weights only where calibration saw nothing, and says so', () => {
    const plan = planQuantization(chain(), w8a8, ranges({ x: [-3, 5] }));
    expect(schemes(plan.layers)).toEqual([
      'w8a8',
      'w8a16: no calibrated range for b',
      'w8a16: head',
    ]);
  });

  it('falls back to weights only for a range that is not finite', () => {
    const broken = ranges({ x: [-3, 5], b: [-1, Number.POSITIVE_INFINITY] });
    const plan = planQuantization(chain(), w8a8, broken);
    expect(plan.layers[1]!.reason).toBe('range of b is not finite');
  });

  it('asks for calibration when no layer has a range', () => {
    expect(() => planQuantization(chain(), w8a8, new Map())).toThrow(UsageError);
    expect(() => planQuantization(chain(), builtInRecipe('w8a16'), new Map())).not.toThrow();
  });

  it('leaves layers float that are too narrow', () => {
    const narrow = model({
      nodes: [
        node('MatMul', ['x', 'thin'], 'a'),
        node('Tanh', ['a'], 'b'),
        node('MatMul', ['b', 'wide'], 'c'),
        node('Tanh', ['c'], 'y'),
      ],
      initializers: [matrix('thin', 32, 15), matrix('wide', 15, 32)],
      inputs: [value('x', 'float16', ['n', 's', 32])],
      outputs: [value('y', 'float16', ['n', 's', 32])],
    });
    expect(() => planQuantization(narrow, builtInRecipe('w8a16'), new Map())).toThrow(
      /all left float: N < 16; K < 16/,
    );
  });

  it('leaves a weight float that something else reads as numbers', () => {
    const source = chain();
    const shared: Model = {
      ...source,
      graph: {
        ...source.graph,
        nodes: [...source.graph.nodes, node('ReduceMax', ['second'], 'largest')],
        outputs: [...source.graph.outputs, value('largest', 'float16', [1, 1])],
      },
    };
    const plan = planQuantization(shared, w8a8, all);
    expect(plan.layers[1]!.reason).toBe('weight is shared with a float consumer');
  });

  it('leaves a weight float that is itself a graph output', () => {
    const source = chain();
    const outputs = [...source.graph.outputs, value('second', 'float16', [32, 32])];
    const plan = planQuantization({ ...source, graph: { ...source.graph, outputs } }, w8a8, all);
    expect(plan.layers[1]!.scheme).toBe('float');
  });

  it('refuses to call it done when nothing would be quantized', () => {
    const recipe = parseRecipe(
      "{ name: none, embedding: float, rules: [{ match: '', scheme: float }] }",
      'test',
    );
    expect(() => planQuantization(chain(), recipe, all)).toThrow(UnsupportedError);
    const empty = model({
      nodes: [node('Tanh', ['x'], 'y')],
      inputs: [value('x', 'float32', [1])],
      outputs: [value('y', 'float32', [1])],
    });
    expect(() => planQuantization(empty, w8a8, all)).toThrow(
      /got no linear layer: no product with a constant, expected at least one layer/,
    );
  });

  it('keeps Gemm float when it scales or transposes its input', () => {
    const gemm = (literals: Parameters<typeof node>[3]): Model => {
      const source = linearModel({ op: 'Gemm', rank: 2 });
      const nodes = [node('Gemm', ['x', 'w'], 'product', literals), node('Tanh', ['product'], 'y')];
      return { ...source, graph: { ...source.graph, nodes } };
    };
    expect(() => planQuantization(gemm({ alpha: 0.5 }), builtInRecipe('w8a16'), all)).toThrow(
      UnsupportedError,
    );
    expect(planQuantization(gemm({ alpha: 1.0 }), builtInRecipe('w8a16'), all).layers).toHaveLength(
      1,
    );
  });

  it('is plain data: JSON gives it back', () => {
    const plan = planQuantization(chain(), w8a8, all);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });
});
