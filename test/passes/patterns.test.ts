import { describe, expect, it } from 'vitest';
import type { Declined } from '../../src/passes/pass.ts';
import { findActivations } from '../../src/structure/find-activations.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { findNorms } from '../../src/structure/find-norms.ts';
import { recognize } from '../../src/structure/recognize.ts';
import { parseModel } from '../golden/graph-text.ts';

/** A graph over `x` with constants that the spellings below share. */
function graph(nodes: string, constants = ''): ReturnType<typeof parseModel> {
  return parseModel(`
    <ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
    main (float[batch, 5, 8] x) => (float[batch, 5, 8] y)
    <float two = {2}, float one = {1}, float half = {0.5}, float eps = {1e-6}, float root = {1.41421356},
     float inverse = {0.70710678}, float[8] weight = ramp, float[8] bias = ramp, int64[1] last = {-1}${constants}>
    { ${nodes} }`);
}

describe('findNorms', () => {
  const square = 's = Pow(x, two) m = ReduceMean(s, last) a = Add(m, eps)';
  it.each([
    ['Sqrt and Div', `${square} r = Sqrt(a) n = Div(x, r) y = Mul(weight, n)`],
    ['Sqrt and 1 / root', `${square} r = Sqrt(a) i = Div(one, r) n = Mul(x, i) y = Mul(n, weight)`],
    [
      'Sqrt and Reciprocal',
      `${square} r = Sqrt(a) i = Reciprocal(r) n = Mul(i, x) y = Mul(n, weight)`,
    ],
    ['Pow(-0.5)', `${square} i = Pow(a, minus) n = Mul(x, i) y = Mul(n, weight)`],
    [
      'x * x',
      's = Mul(x, x) m = ReduceMean(s, last) a = Add(eps, m) r = Sqrt(a) n = Div(x, r) y = Mul(n, weight)',
    ],
    [
      'Casts between all steps',
      `c = Cast<to = 11>(x) s = Pow(c, two) m = ReduceMean(s, last) a = Add(m, eps) r = Sqrt(a) n = Div(c, r)
       d = Cast<to = 1>(n) y = Mul(d, weight)`,
    ],
    ['RMSNormalization', 'y = RMSNormalization<epsilon = 1e-6>(x, weight)'],
    ['SimplifiedLayerNormalization', 'y = SimplifiedLayerNormalization<epsilon = 1e-6>(x, weight)'],
  ])('finds an RMS norm spelt with %s', (_, nodes) => {
    const [norm, ...others] = findNorms(graph(nodes, ', float minus = {-0.5}'));
    expect(others).toEqual([]);
    expect(norm).toMatchObject({ kind: 'rms', input: 'x', output: 'y', bias: undefined });
    expect(norm?.weight?.initializer).toBe('weight');
    expect(norm?.epsilon).toBeCloseTo(1e-6, 12);
  });

  it.each([
    [
      'single steps',
      `u = ReduceMean(x, last) d = Sub(x, u) ${square.replace('(x,', '(d,')} r = Sqrt(a) n = Div(d, r)
       w = Mul(n, weight) y = Add(w, bias)`,
    ],
    ['the operator', 'y = LayerNormalization<epsilon = 1e-6>(x, weight, bias)'],
  ])('finds a layer norm spelt with %s', (_, nodes) => {
    expect(findNorms(graph(nodes))).toMatchObject([
      {
        kind: 'layer',
        input: 'x',
        output: 'y',
        weight: { initializer: 'weight' },
        bias: { initializer: 'bias' },
      },
    ]);
  });

  it('knows the sum that a skip norm gives out', () => {
    const [norm] = findNorms(
      graph(
        'n, , , s = com.microsoft.SkipSimplifiedLayerNormalization(x, x, weight) y = Add(n, s)'.replace(
          ', , ,',
          ', p, q,',
        ),
      ),
    );
    expect(norm).toMatchObject({ kind: 'rms', form: 'skip', skip: { value: 'x', sum: 's' } });
  });

  it('does not take a variance for a norm', () => {
    expect(findNorms(graph(`${square} y = Sqrt(a)`))).toEqual([]);
  });
});

describe('findActivations', () => {
  const erf = (inner: string, tail: string): string =>
    `${inner} e = Erf(d) a = Add(e, one) ${tail}`;
  const cubic =
    'p = Pow(x, three) c = Mul(p, k) q = Add(x, c) t = Mul(q, g) h = Tanh(t) a = Add(one, h)';
  it.each([
    ['silu', 's = Sigmoid(x) y = Mul(x, s)'],
    ['silu', 'y = com.microsoft.QuickGelu<alpha = 1.0>(x)'],
    ['silu', 'y = Swish(x)'],
    ['quick-gelu', 'z = Mul(x, k) s = Sigmoid(z) y = Mul(x, s)'],
    ['gelu', erf('d = Div(x, root)', 'm = Mul(x, a) y = Mul(m, half)')],
    ['gelu', erf('d = Mul(x, inverse)', 'm = Mul(half, a) y = Mul(x, m)')],
    ['gelu', erf('d = Div(x, root)', 'm = Mul(x, half) y = Mul(m, a)')],
    ['gelu', 'y = Gelu(x)'],
    ['gelu-tanh', 'y = Gelu<approximate = "tanh">(x)'],
    ['gelu-tanh', 'y = com.microsoft.FastGelu(x)'],
    ['gelu-tanh', `${cubic} m = Mul(x, half) y = Mul(m, a)`],
    ['relu', 'y = Relu(x)'],
  ])('finds %s in %s', (kind, nodes) => {
    const model = graph(nodes, ', float three = {3}, float k = {1.702}, float g = {0.797}');
    expect(findActivations(model)).toMatchObject([{ kind, input: 'x', output: 'y' }]);
  });

  it('does not take a gate by a sigmoid of something else for SiLU', () => {
    expect(findActivations(graph('z = Neg(x) s = Sigmoid(z) y = Mul(x, s)'))).toEqual([]);
  });
});

describe('findLinears', () => {
  const constants =
    ', float[8, 8] w = ramp, float16[8, 8] h = ramp, int64[2] flat = {-1, 8}, int64[3] deep = {-1, 5, 8}';
  it.each([
    ['MatMul', 'y = MatMul(x, w)', 1, undefined],
    ['MatMul and Add', 'p = MatMul(x, w) y = Add(p, bias)', 1, 'bias'],
    ['MatMul and Add, bias first', 'p = MatMul(x, w) y = Add(bias, p)', 1, 'bias'],
    ['a transposed weight', 't = Transpose<perm = [1, 0]>(w) y = MatMul(x, t)', 0, undefined],
    ['a float16 weight behind a Cast', 'c = Cast<to = 1>(h) y = MatMul(x, c)', 1, undefined],
    [
      'a Constant node',
      'c = Constant<value = float[8, 8] c ramp>() y = MatMul(x, c)',
      1,
      undefined,
    ],
    ['an Identity', 'i = Identity(w) y = MatMul(x, i)', 1, undefined],
    ['Gemm', 'f = Reshape(x, flat) p = Gemm(f, w, bias) y = Reshape(p, deep)', 1, 'bias'],
    [
      'Gemm with transB',
      'f = Reshape(x, flat) p = Gemm<transB = 1>(f, w) y = Reshape(p, deep)',
      0,
      undefined,
    ],
  ])('finds %s', (_, nodes, outputAxis, bias) => {
    const [layer, ...others] = findLinears(graph(nodes, constants));
    expect(others).toEqual([]);
    expect(layer).toMatchObject({ inFeatures: 8, outFeatures: 8 });
    expect(layer?.weight.outputAxis).toBe(outputAxis);
    expect(layer?.bias?.initializer).toBe(bias);
  });

  it('finds a 1x1 Conv and a patch embedding, not a convolution over neighbours', () => {
    const conv = (kernel: number, strides: string): ReturnType<typeof findLinears> =>
      findLinears(
        parseModel(`<ir_version: 8, opset_import: ["" : 18]>
          main (float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) <float[4, 3, ${kernel}, ${kernel}] w = ramp>
          { y = Conv<strides = ${strides}>(x, w) }`),
      );
    expect(conv(1, '[1, 1]')).toMatchObject([{ role: 'head', inFeatures: 3, outFeatures: 4 }]);
    expect(conv(4, '[4, 4]')).toMatchObject([{ role: 'embedding-projection', inFeatures: 48 }]);
    expect(conv(3, '[1, 1]')).toEqual([]);
  });

  it('leaves products of two activations alone and says why it declines a constant', () => {
    const declined: Declined[] = [];
    const model = graph(
      'p = MatMul(x, x) q = MatMul(w, p) y = Add(q, x)',
      ', float[5, 5] w = ramp',
    );
    expect(findLinears(model, { decline: (entry) => declined.push(entry) })).toEqual([]);
    expect(declined).toEqual([
      { pass: 'find-linears', node: 'q', reason: 'the weight is the left operand' },
    ]);
  });

  it('counts a weight that two layers share', () => {
    const layers = findLinears(graph('p = MatMul(x, w) y = MatMul(p, w)', constants));
    expect(layers.map(({ weight }) => weight.useCount)).toEqual([2, 2]);
  });
});

describe('recognize', () => {
  const ffnConstants =
    ', float[8, 6] a = ramp, float[8, 3] g = ramp, float[8, 3] u = ramp, float[3, 8] d = ramp, int64[2] parts = {3, 3}';
  it.each([
    ['Split', 'f, s = Split<axis = -1>(p, parts)', 'f', 's', 'first'],
    ['Split, gate second', 'f, s = Split<axis = -1>(p, parts)', 's', 'f', 'second'],
  ])('tells the gate half of a packed projection cut by %s', (_, cut, gate, up, gateHalf) => {
    const nodes = `p = MatMul(x, a) ${cut} i = Sigmoid(${gate}) v = Mul(${gate}, i) m = Mul(v, ${up}) o = MatMul(m, d) y = Add(x, o)`;
    expect(recognize(graph(nodes, ffnConstants)).blocks).toMatchObject([
      { kind: 'ffn', gated: true, gateHalf, width: 3, input: 'x', output: 'y' },
    ]);
  });

  it('finds a post-norm block: the norm follows the sum', () => {
    const nodes = `p = MatMul(x, g) v = Relu(p) o = MatMul(v, d) s = Add(o, x) y = LayerNormalization(s, weight, bias)`;
    const [block] = recognize(graph(nodes, ffnConstants)).blocks;
    expect(block).toMatchObject({ kind: 'ffn', gated: false, activation: 'relu' });
    expect(block?.norms.before).toBeUndefined();
    expect(block?.norms.after?.output).toBe('y');
  });

  it('gives roles but no block to a network without a residual sum, and says so', () => {
    const declined: Declined[] = [];
    const model = graph('p = MatMul(x, g) v = Relu(p) y = MatMul(v, d)', ffnConstants);
    const { blocks, linears } = recognize(model, { decline: (entry) => declined.push(entry) });
    expect(blocks).toEqual([]);
    expect(linears.map(({ role, block }) => [role, block])).toEqual([
      ['ffn-in', undefined],
      ['down', undefined],
    ]);
    expect(declined.map(({ reason }) => reason)).toEqual([
      'the down projection does not join a residual sum',
    ]);
  });

  it('sees a block through quantized weights and activations, which findLinears leaves out', () => {
    const constants =
      ', float s = {0.5}, int8 z = {0}, int8[8, 3] qg = ramp, int8[3, 8] qd = ramp, float[3] g_s = {1, 1, 1}, float[8] d_s = ramp';
    const nodes = `xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z) wg = DequantizeLinear<axis = 1>(qg, g_s)
      p = MatMul(xd, wg) v = Relu(p) vq = QuantizeLinear(v, s, z) vd = DequantizeLinear(vq, s, z)
      wd = DequantizeLinear<axis = 1>(qd, d_s) o = MatMul(vd, wd) y = Add(x, o)`;
    const model = graph(nodes, constants);
    const [block] = recognize(model).blocks;
    expect(block).toMatchObject({ kind: 'ffn', input: 'x', output: 'y', width: 3 });
    expect(block?.linears.map(({ role }) => role)).toEqual(['ffn-in', 'down']);
    const declined: Declined[] = [];
    expect(findLinears(model, { decline: (entry) => declined.push(entry) })).toEqual([]);
    expect(declined.map(({ reason }) => reason)).toEqual(
      new Array(2).fill('the weight is already quantized'),
    );
  });

  it('takes a tiling convolution for a patch embedding only at the input of the model', () => {
    const model = parseModel(`<ir_version: 8, opset_import: ["" : 18]>
      main (float[1, 3, 8, 8] x) => (float[1, 4, 1, 1] y)
      <float[4, 3, 4, 4] patch = ramp, float[4, 4, 2, 2] shorten = ramp, float[1, 4, 1, 1] shift = ramp>
      { p = Conv<strides = [4, 4]>(x, patch) r = Relu(p) s = Conv<strides = [2, 2]>(r, shorten) y = Sub(s, shift) }`);
    expect(findLinears(model).map(({ role }) => role)).toEqual(['embedding-projection', 'other']);
  });

  it('sees a block through packed 4-bit weights', () => {
    const pack = (name: string, input: string, weight: string, k: number, n: number): string =>
      `${name} = com.microsoft.MatMulNBits<K = ${k}, N = ${n}, bits = 4, block_size = 16>(${input}, ${weight}, s)`;
    const nodes = `${pack('p', 'x', 'a', 8, 32)} v = Relu(p) ${pack('o', 'v', 'b', 32, 8)} y = Add(x, o)`;
    const constants = ', uint8[32, 1, 8] a = ramp, uint8[8, 2, 8] b = ramp, float[32] s = ramp';
    expect(recognize(graph(nodes, constants)).blocks).toMatchObject([{ kind: 'ffn', width: 32 }]);
    expect(findLinears(graph(nodes, constants))).toEqual([]);
  });
});
