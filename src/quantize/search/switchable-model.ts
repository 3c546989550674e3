import { UnsupportedError } from '../../errors.ts';
import { attributes } from '../../ir/attributes.ts';
import { editGraph, nameMaker, withGraph } from '../../ir/edit.ts';
import { indexUses } from '../../ir/index-uses.ts';
import type { Model, Node, ValueInfo } from '../../ir/model.ts';
import { withNodeNames } from '../../ir/rewrite.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import type { AffineParameters } from '../../numerics/affine.ts';
import { residualPlane } from '../../numerics/planes.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { chooseSchemes } from './choose-schemes.ts';
import { type GroupChoice, hasIntegerActivations, type SearchGroup } from './search-group.ts';

/** A model in which each group of layers reads its input quantized or as it is, chosen by an input. */
export interface SwitchableModel {
  readonly model: Model;
  /** Input, bool [groups]: whether the layers of a group read their quantized input. */
  readonly switches: string;
}

/**
 * Returns the plan from which a model must be made for {@link makeSwitchable}: dynamic activations
 * are quantized there, so their layers have INT8 weights alone, and so are residual planes, beside the coarse
 * ones of this plan.
 */
export function switchablePlan(
  model: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
): QuantizationPlan {
  const choices = groups.map(
    (group): GroupChoice => (isDynamic(group) ? 'weight-only' : 'planned'),
  );
  const { smoothing: _, layers: taken, ...chosen } = chooseSchemes(model, plan, groups, choices);
  // A product with its weight in blocks has no input to switch.
  const layers = taken.map(
    (layer, index): PlannedLayer => ({
      ...layer,
      scheme: layer.scheme === 'w8a8x2' ? 'w8a8' : layer.scheme,
      weight: plan.layers[index]!.weight,
    }),
  );
  return { ...chosen, layers, ...(plan.smoothing !== undefined && { smoothing: plan.smoothing }) };
}

/**
 * Returns `quantized`, a model made from {@link switchablePlan}, with a switch per group of layers with
 * INT8 activations: `Where(switch, dequantized, original)` before its products. One session then
 * evaluates every choice of groups. Products are computed in float from the same integers, which
 * gives what integer kernels give but for float rounding.
 */
export function makeSwitchable(
  quantized: Model,
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
): SwitchableModel {
  const { graph } = quantized;
  const state: SwitchState = {
    groups,
    residuals: residualPlanes(plan, groups),
    producers: indexUses(graph).producers,
    freshName: nameMaker(graph),
    constants: [],
    dynamic: new Map(),
    selected: new Map(),
  };
  const switches = state.freshName('autoglm_switches');
  const groupOf = groupByNode(plan, groups);
  const replace = new Map<Node, readonly Node[]>();
  const found = new Set<number>();
  for (const node of graph.nodes) {
    const index = groupOf.get(node.name);
    if (index === undefined || !PRODUCTS.has(node.opType)) continue;
    const selected = selectInput(state, switches, index, node.inputs[0] ?? '');
    if (selected === undefined) continue;
    found.add(index);
    const product = { ...node, inputs: [selected.value, ...node.inputs.slice(1)] };
    replace.set(node, [...selected.nodes, product]);
  }
  requireAll(groups, found);
  const input: ValueInfo = {
    name: switches,
    type: { kind: 'tensor', dataType: 'bool', shape: [groups.length] },
  };
  const edited = editGraph(graph, {
    replace: withNodeNames(graph, replace),
    addInitializers: state.constants,
  });
  return {
    model: withGraph(quantized, { ...edited, inputs: [...edited.inputs, input] }),
    switches,
  };
}

const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Gemm']);

function isDynamic({ scheme }: SearchGroup): boolean {
  return scheme === 'w8a8-dynamic';
}

interface SwitchState {
  readonly groups: readonly SearchGroup[];
  /** The residual plane of each group that has one. */
  readonly residuals: ReadonlyMap<SearchGroup, AffineParameters>;
  readonly producers: ReadonlyMap<string, Node>;
  readonly freshName: (wanted: string) => string;
  readonly constants: Tensor[];
  /** Dequantized values by original, of dynamic activations. */
  readonly dynamic: Map<string, string>;
  /** Switched values by group and input of the product. */
  readonly selected: Map<string, string>;
}

/** What a product reads in place of `input`, with the nodes that must stand before its first reader. */
interface Selected {
  readonly value: string;
  readonly nodes: readonly Node[];
}

function selectInput(
  state: SwitchState,
  switches: string,
  index: number,
  input: string,
): Selected | undefined {
  const { freshName, selected } = state;
  const key = `${index} ${input}`;
  const known = selected.get(key);
  if (known !== undefined) return { value: known, nodes: [] };
  const group = state.groups[index]!;
  const found = isDynamic(group) ? quantizeDynamically(state, input) : staticPair(state, input);
  if (found === undefined) return undefined;
  const residual = state.residuals.get(group);
  const pair = residual === undefined ? found : addResidual(state, found, residual);
  const value = freshName(`${input}_switched`);
  selected.set(key, value);
  const position = freshName(`autoglm_switch_${index}_position`);
  const bytes = new Uint8Array(BigInt64Array.of(BigInt(index)).buffer);
  state.constants.push(inlineTensor(position, 'int64', [], bytes));
  const isOn = freshName(`autoglm_switch_${index}`);
  const nodes = [
    ...pair.nodes,
    makeNode('Gather', [switches, position], [isOn]),
    makeNode('Where', [isOn, pair.dequantized, pair.original], [value]),
  ];
  return { value, nodes };
}

interface QuantizedPair {
  readonly original: string;
  readonly dequantized: string;
  readonly nodes: readonly Node[];
}

/** The QuantizeLinear pair that the model already has before a product. */
function staticPair({ producers }: SwitchState, dequantized: string): QuantizedPair | undefined {
  const dequantize = producers.get(dequantized);
  if (dequantize?.opType !== 'DequantizeLinear') return undefined;
  const quantize = producers.get(dequantize.inputs[0] ?? '');
  if (quantize?.opType !== 'QuantizeLinear') return undefined;
  return { original: quantize.inputs[0] ?? '', dequantized, nodes: [] };
}

function quantizeDynamically({ freshName, dynamic }: SwitchState, original: string): QuantizedPair {
  const known = dynamic.get(original);
  if (known !== undefined) return { original, dequantized: known, nodes: [] };
  const names = ['integers', 'scale', 'zero'].map((part) =>
    freshName(`${original}_dynamic_${part}`),
  );
  const dequantized = freshName(`${original}_dynamic`);
  dynamic.set(original, dequantized);
  const nodes = [
    makeNode('DynamicQuantizeLinear', [original], names),
    makeNode('DequantizeLinear', names, [dequantized]),
  ];
  return { original, dequantized, nodes };
}

/** Adds the residual plane of a pair to its dequantized value. */
function addResidual(
  { freshName, constants }: SwitchState,
  { original, dequantized, nodes }: QuantizedPair,
  { scale, zeroPoint }: AffineParameters,
): QuantizedPair {
  const fresh = (part: string): string => freshName(`${original}_${part}`);
  const scaleName = fresh('residual_scale');
  const zeroName = fresh('residual_zero_point');
  constants.push(
    inlineTensor(scaleName, 'float32', [], new Uint8Array(Float32Array.of(scale).buffer)),
    inlineTensor(zeroName, 'uint8', [], Uint8Array.of(zeroPoint)),
  );
  const [residual, integers, fine, sum] = ['residual', 'integers', 'fine', 'planes'].map(fresh) as [
    string,
    string,
    string,
    string,
  ];
  const made = [
    makeNode('Sub', [original, dequantized], [residual]),
    makeNode('QuantizeLinear', [residual, scaleName, zeroName], [integers]),
    makeNode('DequantizeLinear', [integers, scaleName, zeroName], [fine]),
    makeNode('Add', [dequantized, fine], [sum]),
  ];
  return { original, dequantized: sum, nodes: [...nodes, ...made] };
}

function residualPlanes(
  plan: QuantizationPlan,
  groups: readonly SearchGroup[],
): ReadonlyMap<SearchGroup, AffineParameters> {
  const byLayer = new Map(plan.layers.map((layer) => [layer.name, layer.activation]));
  return new Map(
    groups.flatMap((group): [SearchGroup, AffineParameters][] => {
      const coarse = byLayer.get(group.layers[0]!);
      return group.scheme === 'w8a8x2' && coarse ? [[group, residualPlane(coarse)]] : [];
    }),
  );
}

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

function requireAll(groups: readonly SearchGroup[], found: ReadonlySet<number>): void {
  const missing = groups.find((group, index) => hasIntegerActivations(group) && !found.has(index));
  if (missing === undefined) return;
  throw new UnsupportedError(
    `search: ${missing.name} has no quantized input that can be switched off ` +
      `(got scheme ${missing.scheme}). Leave it out by a rule of the recipe.`,
  );
}

function makeNode(opType: string, inputs: readonly string[], outputs: readonly string[]): Node {
  return { name: '', opType, domain: '', inputs, outputs, attributes: attributes({}) };
}
