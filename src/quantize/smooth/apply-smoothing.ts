import { UnsupportedError } from '../../errors.ts';
import { editGraph, nameMaker } from '../../ir/edit.ts';
import { indexUses } from '../../ir/index-uses.ts';
import type { Graph, Model, Node } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { Factors } from '../../numerics/scale-rows.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { typeAfter } from '../layer-limits.ts';
import { findSmoothingSites } from './find-sites.ts';
import { multiplyWeight } from './multiply-weight.ts';
import { decodeScales, type PlannedSmoothing } from './planned-smoothing.ts';
import { scaleTensor } from './scale-tensor.ts';
import { inputScales, type SmoothingSite, type VectorFold } from './smoothing-site.ts';

/** What becomes of one weight: factors by input channel, from reading, and by output channel. */
interface WeightFactors {
  readonly layer: LinearLayer;
  readonly input: Float32Array;
  readonly output: Float32Array;
}

/**
 * How weights take their factors. `stored`: each becomes another tensor, scaled when it is read.
 * `in-graph`: each stays and is multiplied by nodes in every run, so that nothing large is written
 * where the model is only run once.
 */
export type WeightForm = 'stored' | 'in-graph';

/**
 * Returns the model with every planned activation divided by its scales and the weights that read it
 * multiplied by them: the same function, no weight read and, when weights are `stored` (the default),
 * no node added. A weight becomes as wide as its reader takes it, because float16 would round it again
 * before it is quantized; those of the layers named in `float`, which are not, keep their type and
 * size. Throws {@link UnsupportedError} when the plan names a place that the model does not have.
 */
export function applySmoothing(
  model: Model,
  smoothing: PlannedSmoothing,
  form: WeightForm = 'stored',
  float: ReadonlySet<string> = new Set(),
): Model {
  const sites = new Map(findSmoothingSites(model).map((site) => [site.name, site]));
  const weights = new Map<string, WeightFactors>();
  const vectors = new Map<string, VectorWork>();
  for (const { name, scales } of smoothing.sites) {
    const site = sites.get(name) ?? missing(name);
    collect(site, decodeScales(scales), weights, vectors);
  }
  return rewrite(model, [...weights.values()], [...vectors.values()], { form, float });
}

interface VectorWork {
  readonly fold: VectorFold;
  readonly factors: Float32Array;
}

function collect(
  site: SmoothingSite,
  scales: Float32Array,
  weights: Map<string, WeightFactors>,
  vectors: Map<string, VectorWork>,
): void {
  if (scales.length !== site.channels) missing(site.name);
  const byInput = inputScales(site, scales);
  for (const layer of site.layers) {
    byInput.forEach((scale, channel) => {
      factorsOf(weights, layer).input[channel]! *= scale;
    });
  }
  for (const fold of site.folds) {
    const factors =
      fold.kind === 'matrix'
        ? factorsOf(weights, fold.layer).output
        : vectorWork(vectors, fold).factors;
    scales.forEach((scale, channel) => {
      factors[fold.first + channel]! /= scale;
    });
  }
}

function factorsOf(weights: Map<string, WeightFactors>, layer: LinearLayer): WeightFactors {
  const known = weights.get(layer.name);
  if (known !== undefined) return known;
  const made = {
    layer,
    input: new Float32Array(layer.inFeatures).fill(1),
    output: new Float32Array(layer.outFeatures).fill(1),
  };
  weights.set(layer.name, made);
  return made;
}

function vectorWork(vectors: Map<string, VectorWork>, fold: VectorFold): VectorWork {
  const key = `${fold.reader.outputs[0]}|${fold.inputIndex}`;
  const known = vectors.get(key);
  if (known !== undefined) return known;
  const width = fold.tensor.dims.at(-1) ?? 1;
  const made = { fold, factors: new Float32Array(width).fill(1) };
  vectors.set(key, made);
  return made;
}

/** Weights change in place; a vector, which may have other readers, is put beside the one it replaces. */
function rewrite(
  model: Model,
  weights: readonly WeightFactors[],
  vectors: readonly VectorWork[],
  { form, float }: { readonly form: WeightForm; readonly float: ReadonlySet<string> },
): Model {
  const { graph } = model;
  const makeName = nameMaker(graph);
  const added: Tensor[] = [];
  const changed = new Map<Node, Node>();
  const replace = new Map<Node, readonly Node[]>();
  const before = new Map<Node, readonly Node[]>();
  for (const weight of weights) {
    const { layer } = weight;
    const factors = storedFactors(weight);
    const multiplied = form === 'in-graph' ? multiplyWeight(layer, factors, makeName) : undefined;
    if (multiplied === undefined) {
      const { tensor, initializer, path } = layer.weight;
      const isFloat = float.has(layer.name);
      const dataType = isFloat ? tensor.dataType : typeAfter(tensor.dataType, path);
      added.push({ ...scaleTensor(tensor, factors, dataType), name: initializer });
      const constant = graph.nodes.find((node) => node.outputs[0] === initializer);
      if (constant !== undefined) replace.set(constant, []);
      continue;
    }
    added.push(...multiplied.initializers);
    before.set(layer.node, multiplied.nodes);
    changed.set(layer.node, withInput(layer.node, layer.weight.value, multiplied.value));
  }
  for (const { fold, factors } of vectors) {
    const name = makeName(`${fold.initializer}_smoothed`);
    added.push({ ...scaleTensor(fold.tensor, { columns: factors }, fold.dataType), name });
    const reader = changed.get(fold.reader) ?? fold.reader;
    const inputs = reader.inputs.with(fold.inputIndex, name);
    changed.set(fold.reader, { ...reader, inputs });
  }
  for (const [node, next] of changed) replace.set(node, [...(before.get(node) ?? []), next]);
  const edited = editGraph(graph, { replace, addInitializers: added });
  return { ...model, graph: withoutUnread(edited, vectors) };
}

/** Factors by row and column of the matrix as it is stored. */
function storedFactors({ layer, input, output }: WeightFactors): Factors {
  return layer.weight.outputAxis === 1
    ? { rows: input, columns: output }
    : { rows: output, columns: input };
}

function withInput(node: Node, from: string, to: string): Node {
  return { ...node, inputs: node.inputs.map((name) => (name === from ? to : name)) };
}

/** Drops the vectors that have lost their last reader. */
function withoutUnread(graph: Graph, vectors: readonly VectorWork[]): Graph {
  const { uses, outputs } = indexUses(graph);
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const unread = vectors
    .map(({ fold }) => fold.initializer)
    .filter((name) => !uses.has(name) && !outputs.has(name) && !inputs.has(name));
  return editGraph(graph, { removeInitializers: new Set(unread) });
}

function missing(name: string): never {
  throw new UnsupportedError(
    `smoothing: the plan scales an activation that this model does not have (got "${name}"). ` +
      'Plan and model belong together: plan again from this model.',
  );
}
