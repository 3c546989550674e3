import type { Model } from '../../ir/model.ts';
import { isIntegerScheme, type Scheme } from '../../recipe/recipe.ts';
import { findLinears } from '../../structure/find-linears.ts';
import type { LinearRole } from '../../structure/linear-layer.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';

/** Linear layers that read the same value, and so share one quantized input: q, k and v, say. */
export interface SearchGroup {
  /** Name of the first layer, with the number of others: `layers.3.mlp.gate_proj +1`. */
  readonly name: string;
  readonly layers: readonly string[];
  /** Roles of the layers, in order, each once. */
  readonly roles: readonly LinearRole[];
  /** Weights of all layers. */
  readonly weightCount: number;
  /** What the plan does to these layers. */
  readonly scheme: Exclude<Scheme, 'float'>;
  /** Calibrated range of the value, after what was folded; absent where the plan has none. */
  readonly range?: { readonly min: number; readonly max: number } | undefined;
  /** False where a weight is shared with something that stays quantized. */
  readonly canBeFloat: boolean;
}

/** What a search makes of a group: what the plan says, or something dearer and more exact. */
export type GroupChoice = 'planned' | 'weight-only' | 'float';

/** Says whether the layers of a group get INT8 activations from the plan. */
export function hasIntegerActivations({ scheme }: SearchGroup): boolean {
  return isIntegerScheme(scheme);
}

/** Returns the quantized layers of a plan in the main graph of `model` by the value that they read, in plan order. */
export function findSearchGroups(model: Model, plan: QuantizationPlan): readonly SearchGroup[] {
  const inputs = new Map(findLinears(model).map(({ name, input }) => [name, input]));
  const byInput = new Map<string, PlannedLayer[]>();
  for (const layer of plan.layers) {
    // A switch in a body would have to reach it; layers there keep the plan's scheme.
    if (layer.scheme === 'float' || layer.body !== undefined) continue;
    const key = `${layer.scheme} ${inputs.get(layer.name)}`;
    const known = byInput.get(key);
    if (known === undefined) byInput.set(key, [layer]);
    else known.push(layer);
  }
  const readers = countReaders(plan);
  return [...byInput.values()].map((layers): SearchGroup => {
    const [first] = layers as [PlannedLayer, ...PlannedLayer[]];
    return {
      name: layers.length === 1 ? first.name : `${first.name} +${layers.length - 1}`,
      layers: layers.map(({ name }) => name),
      roles: [...new Set(layers.map(({ role }) => role))],
      weightCount: layers.reduce((sum, { weight }) => sum + elements(weight.dims), 0),
      scheme: first.scheme as SearchGroup['scheme'],
      ...(first.activation && { range: { min: first.activation.min, max: first.activation.max } }),
      canBeFloat: layers.every(({ weight }) => readers.get(weight.initializer) === 1),
    };
  });
}

function countReaders({ layers, embeddings }: QuantizationPlan): ReadonlyMap<string, number> {
  const readers = new Map<string, number>();
  const tables = embeddings.filter(({ scheme }) => scheme !== 'float');
  for (const { initializer } of [
    ...layers.map(({ weight }) => weight),
    ...tables.map(({ table }) => table),
  ]) {
    readers.set(initializer, (readers.get(initializer) ?? 0) + 1);
  }
  return readers;
}

function elements(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}
