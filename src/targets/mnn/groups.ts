/** Groups of nodes that one op of MNN computes: norms and activations in single steps, products with their bias. */
import { intsAttribute } from '../../ir/attributes.ts';
import type { Model, Node } from '../../ir/model.ts';
import { type Facts, numbersOf } from '../../ops/op-spec.ts';
import { type GraphView, viewGraph } from '../../passes/graph-view.ts';
import type { Activation } from '../../structure/find-activations.ts';
import type { Norm } from '../../structure/find-norms.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { recognize } from '../../structure/recognize.ts';

/** What a value is made by, as a whole. */
export type Group =
  | { readonly kind: 'linear'; readonly layer: LinearLayer }
  | { readonly kind: 'norm'; readonly norm: Norm }
  | { readonly kind: 'silu'; readonly activation: Activation }
  | {
      readonly kind: 'gelu';
      readonly activation: Activation;
      /** It computes `0.5 x (1 + erf(factor x / sqrt(2)))`: float16 exports round the root of 2. */
      readonly factor: number;
    };

/** Nodes between a constant and its reader that change nothing but the layout or the type. */
const PLAIN_PATH: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Transpose']);

/**
 * Returns the groups of a graph by the value that each makes. Nodes inside a group are lowered as well, for whoever
 * else reads them; what nobody reads is left out in the end.
 */
export function findGroups(model: Model): ReadonlyMap<string, Group> {
  const { linears, norms, activations } = recognize(model);
  const view = viewGraph(model);
  const facts = (value: string): Facts => view.facts(value);
  const groups = new Map<string, Group>();
  for (const activation of activations) {
    if (activation.form !== 'decomposed') continue;
    if (activation.kind === 'silu') groups.set(activation.output, { kind: 'silu', activation });
    if (activation.kind !== 'gelu') continue;
    const factor = geluFactor(view, activation);
    if (factor !== undefined) groups.set(activation.output, { kind: 'gelu', activation, factor });
  }
  for (const norm of norms) {
    if (isPlainNorm(norm, facts)) groups.set(norm.output, { kind: 'norm', norm });
  }
  for (const layer of linears) {
    if (isPlainLinear(layer)) groups.set(layer.output, { kind: 'linear', layer });
  }
  return groups;
}

/** Returns what x is multiplied with before Erf, times the root of 2. */
function geluFactor(view: GraphView, { nodes, input }: Activation): number | undefined {
  const erf = nodes.find(({ opType }) => opType === 'Erf');
  const scaled = view.source(erf?.inputs[0] ?? '');
  const [a = '', b = ''] = scaled?.inputs ?? [];
  const [isFirst, number] =
    view.origin(a) === input ? [true, view.scalar(b)] : [false, view.scalar(a)];
  if (number === undefined || number === 0) return undefined;
  if (scaled?.opType === 'Mul') return number * Math.SQRT2;
  return scaled?.opType === 'Div' && isFirst ? Math.SQRT2 / number : undefined;
}

function isPlainLinear({ node, weight }: LinearLayer): boolean {
  if (node.opType !== 'MatMul' && node.opType !== 'Gemm') return false;
  const scales = ['alpha', 'beta'].some((name) => {
    const attribute = node.attributes.get(name);
    return attribute?.kind === 'float' && attribute.value !== 1;
  });
  return (
    !scales &&
    weight.tensor.dims.length === 2 &&
    node.inputs[1] === weight.value &&
    weight.path.every((step) => PLAIN_PATH.has(step.opType))
  );
}

/** A norm in single steps over the last axis alone, with a vector of that length where it has a weight. */
function isPlainNorm(
  { form, nodes, input, weight, bias, epsilon }: Norm,
  facts: (value: string) => Facts,
): boolean {
  if (form !== 'decomposed' || epsilon === undefined) return false;
  const shape = facts(input).shape;
  const width = shape?.at(-1);
  if (shape === undefined || typeof width !== 'number') return false;
  const isLast = (node: Node): boolean => {
    const axes = intsAttribute(node, 'axes') ?? numbersOf(facts(node.inputs[1] ?? ''));
    return axes?.length === 1 && (axes[0] === -1 || axes[0] === shape.length - 1);
  };
  if (!nodes.filter(({ opType }) => opType === 'ReduceMean').every(isLast)) return false;
  return [weight, bias].every(
    (constant) =>
      constant === undefined ||
      (constant.tensor.dims.length === 1 &&
        constant.tensor.dims[0] === width &&
        constant.path.every((step) => step.opType === 'Cast' || step.opType === 'Identity')),
  );
}
