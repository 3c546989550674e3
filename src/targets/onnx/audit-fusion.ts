import { allNodes } from '../../ir/all-nodes.ts';
import type { Model, Node } from '../../ir/model.ts';
import type {
  LinearForm,
  PlannedLayer,
  QuantizationPlan,
} from '../../quantize/quantization-plan.ts';
import { ONNXRUNTIME_LOWERING, whyLeftFloat } from './lowering.ts';
import { RESIDUAL_SUFFIX } from './write-planes.ts';

/** Kernels that really compute with the integers of a form. */
const FUSED_OPS: Readonly<Record<Exclude<LinearForm, 'float'>, readonly string[]>> = {
  MatMulIntegerToFloat: ['MatMulIntegerToFloat', 'QLinearMatMul', 'DynamicQuantizeMatMul'],
  DynamicQuantizeMatMul: ['DynamicQuantizeMatMul', 'MatMulIntegerToFloat'],
  QGemm: ['QGemm', 'MatMulIntegerToFloat', 'QLinearMatMul'],
  MatMulNBits: ['MatMulNBits'],
};

const REASONS: Readonly<Record<string, string>> = {
  Gemm: 'ran as a float Gemm: the weight is widened in every run',
  MatMul: 'ran as a float MatMul: the weight is widened in every run',
  FusedMatMul: 'the transpose was merged into a float product',
};

/** A layer that was planned as integers and did not become an integer kernel. */
interface UnfusedLayer {
  readonly layer: string;
  readonly node: string;
  readonly form: LinearForm;
  /** Operator that runs instead; absent when no node of that name is left. */
  readonly ranAs?: string;
  readonly reason: string;
}

/** How many planned layers the runtime really fused. */
export interface FusionAudit {
  readonly planned: number;
  readonly fused: number;
  /** Kernels of fused layers: one each, two of a layer in two planes. */
  readonly kernels: Readonly<Record<string, number>>;
  readonly unfused: readonly UnfusedLayer[];
  /** Layers that an earlier audit of the same model found unfused, and that are written otherwise since. */
  readonly takenBack: readonly TakenBackLayer[];
}

/** A layer that did not fuse in the form that the recipe asks for, and what it is now. */
interface TakenBackLayer {
  readonly layer: string;
  /** `w8a16` or `float`. */
  readonly scheme: string;
  readonly reason: string;
}

/** Begins the reason of a layer that was taken back because it did not fuse. */
export const NOT_FUSED = 'did not fuse';

/**
 * Returns which quantized layers of `plan` became integer kernels in `optimized`, the model as
 * onnxruntime wrote it after its own optimisation at level `all`. Layers are found by node name.
 * `whyFloat` says which layers were not written as integers; as in the form for onnxruntime when absent.
 */
export function auditFusion(
  optimized: Model,
  plan: QuantizationPlan,
  whyFloat: (layer: PlannedLayer) => string | undefined = leftFloat,
): FusionAudit {
  const byName = new Map<string, Node>();
  for (const node of allNodes(optimized.graph)) {
    // A fusion appends its own name: `node/MatMulAddFusion`.
    const name = node.name.replace(/\/MatMulAddFusion.*$/, '');
    if (!byName.has(name)) byName.set(name, node);
  }
  const kernels: Record<string, number> = {};
  const unfused: UnfusedLayer[] = [];
  const planned = plan.layers.filter((layer) => whyFloat(layer) === undefined);
  for (const layer of planned) {
    const wanted = layer.form === 'float' ? [] : FUSED_OPS[layer.form];
    const products = productNames(layer).map((name) => byName.get(name));
    const odd = products.findIndex((node) => node === undefined || !wanted.includes(node.opType));
    if (odd >= 0) unfused.push(describeUnfused(layer, products[odd]));
    else for (const node of products) kernels[node!.opType] = (kernels[node!.opType] ?? 0) + 1;
  }
  const takenBack = plan.layers.flatMap(({ name, scheme, reason }) =>
    reason?.startsWith(NOT_FUSED) === true ? [{ layer: name, scheme, reason }] : [],
  );
  const fused = planned.length - unfused.length;
  return { planned: planned.length, fused, kernels, unfused, takenBack };
}

/** A layer in two planes is two products. */
function productNames({ node, scheme }: PlannedLayer): readonly string[] {
  return scheme === 'w8a8x2' ? [node, `${node}${RESIDUAL_SUFFIX}`] : [node];
}

function leftFloat(layer: PlannedLayer): string | undefined {
  return whyLeftFloat(layer, ONNXRUNTIME_LOWERING);
}

function describeUnfused(layer: PlannedLayer, node: Node | undefined): UnfusedLayer {
  const { name, form } = layer;
  const missing = 'no node of that name is left: another fusion took it';
  return {
    layer: name,
    node: layer.node,
    form,
    ...(node !== undefined && { ranAs: node.opType }),
    reason: node === undefined ? missing : (REASONS[node.opType] ?? `ran as ${node.opType}`),
  };
}
