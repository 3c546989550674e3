import type { Scheme } from '../recipe/recipe.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import type { LinearForm } from './quantization-plan.ts';

/**
 * Returns the form that onnxruntime fuses. With an input of rank 2 it turns MatMul and a following
 * Add into a Gemm with float bias, which has no integer kernel, so such layers become
 * Gemm without bias, whatever follows.
 */
export function linearForm(
  layer: LinearLayer,
  scheme: Scheme,
  rank: number | undefined,
): LinearForm {
  if (scheme === 'float') return 'float';
  if (scheme === 'w8a8-dynamic') return 'DynamicQuantizeMatMul';
  if (scheme === 'w8a16' || scheme === 'w4a16') return 'MatMulNBits';
  return layer.node.opType === 'Gemm' || rank === 2 ? 'QGemm' : 'MatMulIntegerToFloat';
}
