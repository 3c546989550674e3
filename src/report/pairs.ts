import type { Saturation } from '../targets/onnx/saturation.ts';

/** Returns in one line whether the integer products of a model give the same sums on every CPU. */
export function describePairs(saturation: Saturation): string {
  const { products, worstPair, pairs, unsafePairs, unsafeLayers, notScanned } = saturation;
  const unseen = notScanned.length === 0 ? '' : `; ${notScanned.length} layers not looked at`;
  if (unsafeLayers.length === 0) return `worst ${worstPair} of 128: no CPU saturates${unseen}`;
  return (
    `worst ${worstPair} of 128: ${unsafeLayers.length} of ${products} products saturate on x86 without VNNI, ` +
    `in ${((100 * unsafePairs) / pairs).toPrecision(2)} % of pairs${unseen}`
  );
}
