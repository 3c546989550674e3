import { UnsupportedError } from '../../errors.ts';
import { attributes } from '../../ir/attributes.ts';
import { editGraph, nameMaker, withGraph } from '../../ir/edit.ts';
import { indexUses } from '../../ir/index-uses.ts';
import type { Model, Node, ValueInfo } from '../../ir/model.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import type { QuantizationPlan } from '../quantization-plan.ts';
import { hasIntegerActivations, type SearchGroup } from './search-group.ts';

/** A model in which each group of layers reads its input quantized or as it is, chosen by an input. */
export interface SwitchableModel {
  readonly model: Model;
  /** Input, bool [groups]: whether the layers of a group read their quantized input. */
  readonly switches: string;
}

/**
 * Returns `quantized`, a model made from `plan`, with a switch per group of W8A8 layers:
 * `Where(switch, dequantized, original)` before its products. One session then evaluates every
 * choice of groups. Products are computed in float from the same integers, which gives what
 * integer kernels give but for float rounding.
 */
export function makeSwitchable(
  quantized: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
): SwitchableModel {
  const { graph } = quantized;
  const freshName = nameMaker(graph);
  const switches = freshName('autoglm_switches');
  const { producers } = indexUses(graph);
  const groupOf = groupByNode(plan, groups);
  const replace = new Map<Node, readonly Node[]>();
  const constants: Tensor[] = [];
  const selected = new Map<string, string>();
  const found = new Set<number>();
  for (const node of graph.nodes) {
    const index = groupOf.get(node.name);
    if (index === undefined || !PRODUCTS.has(node.opType)) continue;
    const dequantized = node.inputs[0] ?? '';
    const original = quantizedFrom(dequantized, producers);
    if (original === undefined) continue;
    found.add(index);
    const key = `${index} ${dequantized}`;
    const known = selected.get(key);
    const value = known ?? freshName(`${dequantized}_switched`);
    const product = { ...node, inputs: [value, ...node.inputs.slice(1)] };
    if (known !== undefined) {
      replace.set(node, [product]);
      continue;
    }
    selected.set(key, value);
    const position = freshName(`autoglm_switch_${index}_position`);
    const isOn = freshName(`autoglm_switch_${index}`);
    const bytes = new Uint8Array(BigInt64Array.of(BigInt(index)).buffer);
    constants.push(inlineTensor(position, 'int64', [], bytes));
    replace.set(node, [
      makeNode('Gather', [switches, position], isOn),
      makeNode('Where', [isOn, dequantized, original], value),
      product,
    ]);
  }
  requireAll(groups, found);
  const input: ValueInfo = {
    name: switches,
    type: { kind: 'tensor', dataType: 'bool', shape: [groups.length] },
  };
  const edited = editGraph(graph, { replace, addInitializers: constants });
  return {
    model: withGraph(quantized, { ...edited, inputs: [...edited.inputs, input] }),
    switches,
  };
}

const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Gemm']);
const QUANTIZERS: ReadonlySet<string> = new Set(['QuantizeLinear', 'DynamicQuantizeLinear']);

function groupByNode(
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
): ReadonlyMap<string, number> {
  const byLayer = new Map(plan.layers.map(({ name, node }) => [name, node]));
  return new Map(
    groups.flatMap((group, index) =>
      hasIntegerActivations(group)
        ? group.layers.map((layer): [string, number] => [byLayer.get(layer) ?? layer, index])
        : [],
    ),
  );
}

/** The float value behind a DequantizeLinear of a quantized activation. */
function quantizedFrom(value: string, producers: ReadonlyMap<string, Node>): string | undefined {
  const dequantize = producers.get(value);
  if (dequantize?.opType !== 'DequantizeLinear') return undefined;
  const quantize = producers.get(dequantize.inputs[0] ?? '');
  return quantize !== undefined && QUANTIZERS.has(quantize.opType) ? quantize.inputs[0] : undefined;
}

function requireAll(groups: readonly SearchGroup[], found: ReadonlySet<number>): void {
  const missing = groups.find((group, index) => hasIntegerActivations(group) && !found.has(index));
  if (missing === undefined) return;
  throw new UnsupportedError(
    `search: ${missing.name} has no quantized input that can be switched off ` +
      `(got scheme ${missing.scheme}). Leave it out by a rule of the recipe.`,
  );
}

function makeNode(opType: string, inputs: readonly string[], output: string): Node {
  const name = `${output}_node`;
  return { name, opType, domain: '', inputs, outputs: [output], attributes: attributes({}) };
}
