import { SAFE_PAIR, type SaturationScan } from './scan-saturation.ts';

/**
 * Whether the integer products of a model give the same sums on every CPU. x86 before VNNI adds two
 * products of a uint8 activation and an int8 weight in 16 bits.
 */
export interface Saturation {
  /** Products of 8-bit activations with constant int8 weights. */
  readonly products: number;
  /** Largest sum of two neighbouring weights of one sign; up to 128 no CPU saturates. */
  readonly worstPair: number;
  /** Pairs of inputs times output channels, and those among them that can overflow. */
  readonly pairs: number;
  readonly unsafePairs: number;
  /** The products that have such pairs, worst first. */
  readonly unsafeLayers: readonly {
    readonly node: string;
    readonly worstPair: number;
    readonly unsafePairs: number;
  }[];
  /** Integer layers whose weights were not looked at, and why. */
  readonly notScanned: readonly { readonly node: string; readonly reason: string }[];
}

/** Returns a scan as figures for the whole model. */
export function summarizeSaturation({ products, notScanned }: SaturationScan): Saturation {
  const unsafe = products.filter(({ unsafePairs }) => unsafePairs > 0);
  const sum = (key: 'pairs' | 'unsafePairs'): number =>
    products.reduce((total, product) => total + product[key], 0);
  return {
    products: products.length,
    worstPair: products.reduce((worst, { worstPair }) => Math.max(worst, worstPair), 0),
    pairs: sum('pairs'),
    unsafePairs: sum('unsafePairs'),
    unsafeLayers: unsafe
      .map(({ node, worstPair, unsafePairs }) => ({ node, worstPair, unsafePairs }))
      .sort((a, b) => b.worstPair - a.worstPair || b.unsafePairs - a.unsafePairs),
    notScanned,
  };
}

/**
 * Returns what a reader of an unsafe model must know, or undefined for a safe one. `saturates` says what
 * this machine does with such pairs, undefined where nobody knows.
 */
export function saturationWarning(
  saturation: Saturation,
  saturates: boolean | undefined,
): string | undefined {
  const { products, pairs, unsafePairs, unsafeLayers, worstPair } = saturation;
  if (unsafeLayers.length === 0) return undefined;
  const named = unsafeLayers.slice(0, 3).map(({ node }) => node);
  const others = unsafeLayers.length - named.length;
  const here =
    saturates === undefined
      ? 'what this machine does is not known'
      : saturates
        ? 'this machine saturates them, so a CPU with VNNI gives other numbers than these'
        : 'this machine adds them exactly, so these numbers do not hold there';
  return (
    `int8 pairs: x86 CPUs without VNNI saturate in ${unsafeLayers.length} of ${products} integer products ` +
    `(${((100 * unsafePairs) / pairs).toPrecision(2)} % of pairs of weights, worst ${worstPair}, expected ` +
    `${SAFE_PAIR} at most): ${named.join(', ')}${others > 0 ? ` and ${others} more` : ''}; ${here}. ` +
    'Quantize the float model with autoglm, or set session.x64quantprecision=1 in onnxruntime.'
  );
}
