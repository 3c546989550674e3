import { describe, expect, it } from 'vitest';
import { saturationWarning, summarizeSaturation } from '../../../src/targets/onnx/saturation.ts';

const product = (node: string, worstPair: number, unsafePairs: number) => ({
  node,
  worstPair,
  pairs: 100,
  unsafePairs,
});

const UNSAFE = summarizeSaturation({
  products: [
    product('q', 130, 1),
    product('k', 128, 0),
    product('v', 254, 2),
    product('o', 130, 4),
    product('up', 129, 1),
  ],
  notScanned: [],
});

describe('the summary of a scan', () => {
  it('adds the products up and puts the worst of the unsafe first', () => {
    expect(UNSAFE).toMatchObject({ products: 5, worstPair: 254, pairs: 500, unsafePairs: 8 });
    expect(UNSAFE.unsafeLayers.map(({ node }) => node)).toEqual(['v', 'o', 'q', 'up']);
  });

  it('warns with layers, and with what this machine does with them', () => {
    expect(saturationWarning(UNSAFE, true)).toBe(
      'int8 pairs: x86 CPUs without VNNI saturate in 4 of 5 integer products (1.6 % of pairs of ' +
        'weights, worst 254, expected 128 at most): v, o, q and 1 more; this machine saturates them, so a ' +
        'CPU with VNNI gives other numbers than these. Quantize the float model with autoglm, or set ' +
        'session.x64quantprecision=1 in onnxruntime.',
    );
    expect(saturationWarning(UNSAFE, false)).toContain('this machine adds them exactly');
    expect(saturationWarning(UNSAFE, undefined)).toContain('what this machine does is not known');
  });

  it('has nothing to say of a safe model, nor of one without integer products', () => {
    const safe = summarizeSaturation({ products: [product('q', 128, 0)], notScanned: [] });
    expect(saturationWarning(safe, true)).toBeUndefined();
    const none = summarizeSaturation({ products: [], notScanned: [] });
    expect(none).toMatchObject({ worstPair: 0, pairs: 0 });
    expect(saturationWarning(none, true)).toBeUndefined();
  });
});
