import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { tapValues } from '../../../src/calibrate/tap-values.ts';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { findCalibratedInputs } from '../../../src/targets/onnx/calibrated-inputs.ts';
import { makeReachModel } from '../../../src/targets/onnx/reach-model.ts';
import { floats, IN, linearModel, model, node, ranges, value } from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';

function artifact(scheme: 'w8a8' | 'w8a8x2', range: readonly [number, number]) {
  const source = linearModel({ op: 'MatMul', rank: 3 });
  const recipe = parseRecipe(`{ name: a, head: ${scheme} }`, 'test');
  return applyQuantization(source, planQuantization(source, recipe, ranges({ x: range })));
}

describe('findCalibratedInputs', () => {
  it.each(['w8a8', 'w8a8x2'] as const)(
    'finds the range of %s once, without its residual',
    (scheme) => {
      const [only, ...others] = findCalibratedInputs(artifact(scheme, [-1, 2]));
      expect(others).toEqual([]);
      // Steps of 3/255 about 85: -1 to 2, rounded by the float32 scale alone.
      expect(only!.value).toBe('x');
      expect(only!.low).toBeCloseTo(-1, 5);
      expect(only!.high).toBeCloseTo(2, 5);
    },
  );

  it('leaves out weights that are rounded in the graph, and names both sides of a product apart', () => {
    const pair = (from: string, to: string) => [
      node('QuantizeLinear', [from, 'scale', 'zero'], `${to}_q`),
      node('DequantizeLinear', [`${to}_q`, 'scale', 'zero'], to),
    ];
    const source = model({
      nodes: [
        ...pair('x', 'a'),
        ...pair('z', 'b'),
        ...pair('weight', 'w'),
        { ...node('MatMul', ['a', 'b'], 'scores'), name: 'attention' },
        ...pair('scores', 's'),
        { ...node('MatMul', ['s', 'w'], 'y'), name: '' },
      ],
      initializers: [
        floats('scale', [], [0.5]),
        inlineTensor('zero', 'uint8', [], Uint8Array.of(128)),
        floats('weight', [4, 4], new Array(16).fill(1)),
      ],
      inputs: [value('x', 'float32', [1, 4, 4]), value('z', 'float32', [1, 4, 4])],
      outputs: [value('y', 'float32', [1, 4, 4])],
    });
    expect(
      findCalibratedInputs(source).map(({ value: from, layer, low }) => [from, layer, low]),
    ).toEqual([
      ['x', 'attention', -64],
      ['z', 'attention (z)', -64],
      ['scores', '(scores)', -64],
    ]);
  });

  it('finds nothing in a float model', () => {
    expect(findCalibratedInputs(linearModel({ op: 'MatMul', rank: 3 }))).toEqual([]);
  });
});

describe('makeReachModel', () => {
  it.each([13, 18])(
    'gives one number a token, 1 at the end of the range (opset %i)',
    async (version) => {
      const made = artifact('w8a8', [-1, 2]);
      const model = { ...made, opsetImports: [{ domain: '', version }] };
      const { model: reaching, reach } = makeReachModel(model, findCalibratedInputs(model));
      const [name] = [...reach.values()] as [string];
      const x = new Float32Array(4 * IN);
      x[3] = 1; // half of 2
      x[IN + 1] = 6; // three times 2
      x[2 * IN + 5] = -2; // twice -1
      const { outputs } = await runModel(tapValues(reaching, [name]), [
        { x: new OrtTensor('float32', x, [1, 4, IN]) },
      ]);
      const rows = [...outputs.get(name)!];
      for (const [row, expected] of [0.5, 3, 2, 0].entries()) {
        expect(rows[row]).toBeCloseTo(expected, 4);
      }
    },
  );

  it('counts what passes zero by a step where the range ends there', async () => {
    const model = artifact('w8a8', [0, 2]);
    const { model: reaching, reach } = makeReachModel(model, findCalibratedInputs(model));
    const [name] = [...reach.values()] as [string];
    const x = new Float32Array(2 * IN);
    x[0] = -2 / 255 - 0.02;
    const { outputs } = await runModel(tapValues(reaching, [name]), [
      { x: new OrtTensor('float32', x, [1, 2, IN]) },
    ]);
    expect(outputs.get(name)![0]).toBeGreaterThan(1);
    expect(outputs.get(name)![1]).toBeCloseTo(0, 6);
  });
});
