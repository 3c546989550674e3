import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../../src/ir/tensor.ts';
import { SAFE_PAIR, scanSaturation } from '../../../src/targets/onnx/scan-saturation.ts';
import { floats, model, node, value } from '../../kit/models.ts';
import { multiplyExactly, multiplyInPairs } from '../../quantize/saturating-product.ts';

function integers(
  name: string,
  dims: readonly number[],
  values: readonly number[],
  dataType: 'int8' | 'uint8' = 'int8',
): Tensor {
  return inlineTensor(name, dataType, dims, new Uint8Array(Int8Array.from(values).buffer));
}

function product(nodes: readonly Node[], initializers: readonly Tensor[]): Model {
  return model({
    nodes,
    initializers: [floats('s', [], [0.1]), integers('z', [], [0], 'uint8'), ...initializers],
    inputs: [value('x', 'float32', ['n', 4])],
    outputs: [value('y', 'float32', ['n', 2])],
  });
}

const QUANTIZED_INPUT = [
  node('QuantizeLinear', ['x', 's', 'z'], 'q'),
  node('DequantizeLinear', ['q', 's', 'z'], 'd'),
];
/** [4 inputs, 2 channels]: pairs 100 + 29 and -64 - 64 in channel 0, 127 - 127 and 60 + 68 in channel 1. */
const WEIGHT = [100, 127, 29, -127, -64, 60, -64, 68];

describe('scanSaturation', () => {
  it('counts same-sign pairs above 128 along the inputs of a Q/DQ MatMul', async () => {
    const { products, notScanned } = await scanSaturation(
      product(
        [
          ...QUANTIZED_INPUT,
          node('DequantizeLinear', ['w', 's'], 'v'),
          node('MatMul', ['d', 'v'], 'y'),
        ],
        [integers('w', [4, 2], WEIGHT)],
      ),
    );
    expect(products).toEqual([{ node: '/y/MatMul', worstPair: 129, pairs: 4, unsafePairs: 1 }]);
    expect(notScanned).toEqual([]);
  });

  it('finds the inputs of a weight that is turned, by Gemm or by Transpose', async () => {
    const turned = [100, 29, -64, -64, 127, -127, 60, 68];
    const dequantize = node('DequantizeLinear', ['w', 's'], 'v');
    const forms = [
      [dequantize, node('Gemm', ['d', 'v'], 'y', { transB: 1n })],
      [
        dequantize,
        node('Transpose', ['v'], 't', { perm: [1n, 0n] }),
        node('MatMul', ['d', 't'], 'y'),
      ],
      [
        node('Transpose', ['w'], 't'),
        node('DequantizeLinear', ['t', 's'], 'v'),
        node('Reshape', ['d', 'shape'], 'e'),
        node('MatMul', ['e', 'v'], 'y'),
      ],
    ];
    for (const form of forms) {
      const shape = inlineTensor('shape', 'int64', [2], new Uint8Array(16));
      const weights = [integers('w', [2, 4], turned), shape];
      const { products } = await scanSaturation(product([...QUANTIZED_INPUT, ...form], weights));
      expect(products).toMatchObject([{ worstPair: 129, unsafePairs: 1 }]);
    }
  });

  it.each([
    ['MatMulInteger', ['q', 'w', 'z']],
    ['DynamicQuantizeMatMul', ['x', 'w', 's']],
    ['MatMulIntegerToFloat', ['q', 'w', 's', 's']],
    ['QLinearMatMul', ['q', 's', 'z', 'w', 's', 'z', 's', 'z']],
    ['QGemm', ['q', 's', 'z', 'w', 's', 'z']],
  ])('knows where %s has its weight', async (opType, inputs) => {
    const nodes = [...QUANTIZED_INPUT, node(opType, inputs, 'y')];
    const { products } = await scanSaturation(product(nodes, [integers('w', [4, 2], WEIGHT)]));
    expect(products).toMatchObject([{ worstPair: 129, pairs: 4, unsafePairs: 1 }]);
  });

  it('counts a weight of -128 beside zero as safe, and an odd last input alone', async () => {
    const nodes = [...QUANTIZED_INPUT, node('MatMulInteger', ['q', 'w', 'z'], 'y')];
    const weight = integers('w', [3, 1], [0, -128, 127]);
    const { products } = await scanSaturation(product(nodes, [weight]));
    expect(products).toMatchObject([{ worstPair: 128, pairs: 1, unsafePairs: 0 }]);
  });

  it('leaves alone what cannot saturate: uint8 weights, float or 16-bit activations', async () => {
    const weight = integers('w', [4, 2], WEIGHT);
    const dequantize = node('DequantizeLinear', ['w', 's'], 'v');
    const wide = [
      node('QuantizeLinear', ['x', 's', 'z16'], 'q'),
      node('DequantizeLinear', ['q', 's', 'z16'], 'd'),
    ];
    const z16 = inlineTensor('z16', 'uint16', [], new Uint8Array(2));
    const safe: readonly (readonly [readonly Node[], readonly Tensor[]])[] = [
      [
        [...QUANTIZED_INPUT, node('MatMulInteger', ['q', 'w', 'z'], 'y')],
        [{ ...weight, dataType: 'uint8' }],
      ],
      [[dequantize, node('MatMul', ['x', 'v'], 'y')], [weight]],
      [
        [...wide, dequantize, node('MatMul', ['d', 'v'], 'y')],
        [weight, z16],
      ],
    ];
    for (const [nodes, initializers] of safe) {
      const scan = await scanSaturation(product(nodes, initializers));
      expect(scan).toEqual({ products: [], notScanned: [] });
    }
  });

  it('names integer layers that it does not look at', async () => {
    const nodes = [
      node('QLinearConv', ['q', 's', 'z', 'w', 's', 'z', 's', 'z'], 'c'),
      node('MatMulInteger', ['q', 'q', 'z'], 'y'),
    ];
    const scan = await scanSaturation(product(nodes, [integers('w', [4, 2], WEIGHT)]));
    expect(scan.notScanned).toEqual([
      { node: '/c/QLinearConv', reason: 'QLinearConv is not looked at' },
      { node: '/y/MatMulInteger', reason: 'its weight is no constant' },
    ]);
  });

  it('looks through chains as long as files may make them', async () => {
    const chain = (from: string, name: string): Node[] =>
      Array.from({ length: 30_000 }, (_, index) =>
        node('Identity', [index === 0 ? from : `${name}${index}`], `${name}${index + 1}`),
      );
    const nodes = [
      ...QUANTIZED_INPUT,
      ...chain('d', 'x_'),
      node('DequantizeLinear', ['w', 's'], 'v'),
      ...chain('v', 'v_'),
      node('MatMul', ['x_30000', 'v_30000'], 'y'),
    ];
    const { products } = await scanSaturation(product(nodes, [integers('w', [4, 2], WEIGHT)]));
    expect(products).toMatchObject([{ worstPair: 129, unsafePairs: 1 }]);
  });

  it('proves what it calls safe: no activations saturate, and some do where a pair is unsafe', async () => {
    const byte = fc.integer({ min: -127, max: 127 });
    const weights = fc.array(byte, { minLength: 10, maxLength: 10 });
    const extremes = fc.array(fc.constantFrom(0, 255), { minLength: 5, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(weights, extremes, async (values, activations) => {
        const nodes = [...QUANTIZED_INPUT, node('MatMulInteger', ['q', 'w', 'z'], 'y')];
        const scan = await scanSaturation(product(nodes, [integers('w', [5, 2], values)]));
        const isSafe = scan.products[0]!.worstPair <= SAFE_PAIR;
        expect(isSafe).toBe(scan.products[0]!.unsafePairs === 0);
        const given = (row: readonly number[]) => ({
          activations: Uint8Array.from(row),
          weights: Int8Array.from(values),
          rows: 1,
          inputs: 5,
          channels: 2,
        });
        const saturates = (row: readonly number[]): boolean => {
          const product = given(row);
          return `${multiplyInPairs(product)}` !== `${multiplyExactly(product)}`;
        };
        if (isSafe) expect(saturates(activations)).toBe(false);
        else
          expect(
            [0, 2].some((k) =>
              saturates([0, 1, 2, 3, 4].map((input) => (input >> 1 === k >> 1 ? 255 : 0))),
            ),
          ).toBe(true);
      }),
    );
  });
});
