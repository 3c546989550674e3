import { UnsupportedError } from '../errors.ts';
import { withGraph } from '../ir/edit.ts';
import type { Graph, Model, Node, ValueInfo } from '../ir/model.ts';
import { addConstant, beginRewrite, finishRewrite, type Rewrite } from '../ir/rewrite.ts';
import type { Tensor } from '../ir/tensor.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import { inferShapes } from '../passes/infer-shapes.ts';
import { runPasses } from '../passes/pass.ts';
import { findConstant } from '../structure/constant-path.ts';
import { type GraphContext, graphContext } from './graph-context.ts';
import { type Cut, type KeptAxes, keptAxes, keptIndices } from './kept-axes.ts';
import { pickAlongAxes } from './pick-along-axes.ts';
import { resizeNode } from './resize-node.ts';
import { type SizeFacts, sizeFacts } from './size-facts.ts';

/**
 * Returns the model without the units of `cuts`: weights, biases and scales are shorter, sizes in shapes, attributes
 * and KV caches follow, types are inferred anew. Weights stay lazy. The same model back when nothing goes. Throws
 * {@link UnsupportedError} naming the node whose size cannot follow.
 */
export function applyPruning(model: Model, cuts: readonly Cut[]): Model {
  if (cuts.every(({ removed }) => removed.length === 0)) return model;
  for (const cut of cuts) requireEven(cut);
  const context = graphContext(model);
  const kept = keptAxes(context, cuts);
  const rewrite = beginRewrite(model.graph);
  const sizes = sizeFacts(context, kept);
  const forcing = { view: context.view, sizes, rewrite };
  for (const node of model.graph.nodes) {
    refuseLeaks(context, sizes, node);
    const resized = resizeNode(context, kept, forcing, node);
    if (typeof resized === 'string') throw cannotFollow(node, resized);
    const cut = cutConstants(context, kept, rewrite, node, resized);
    if (cut !== node) rewrite.instead.set(node, [cut]);
  }
  cutShared(context, kept, rewrite);
  const graph = finishRewrite(rewrite, new Map());
  const pruned = withGraph(model, withInterface(graph, kept));
  verifyShapes(context, kept, pruned);
  return runPasses(pruned, [inferShapes]);
}

/** Query heads that share a key head are counted, not listed: uneven cuts would run and be wrong. */
function requireEven({ group, removed }: Cut): void {
  const { name, unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  const counts = new Array<number>(blockCount).fill(0);
  for (const unit of removed) {
    const block = Math.floor(unit / size);
    if (counts[block] === undefined)
      throw new UnsupportedError(
        `${name}: there is no unit ${unit} (expected 0 to ${unitCount - 1}). Prune again.`,
      );
    counts[block]++;
  }
  const isRepeated = new Set(removed).size !== removed.length;
  if (isRepeated || new Set(counts).size > 1 || counts[0] === size)
    throw new UnsupportedError(
      `${name}: each of ${blockCount} stretches of ${size} must lose equally many units and keep one ` +
        `(got ${counts.join(', ')}). Prune again.`,
    );
}

function cannotFollow(node: Node, reason: string): UnsupportedError {
  return new UnsupportedError(
    `${node.name || node.outputs[0]}: its size cannot follow the cut (${reason}). Leave its layer out with --layers.`,
  );
}

/** Sizes that change and leave the graph, or enter a body, cannot be replaced where they are read. */
function refuseLeaks({ view }: GraphContext, sizes: SizeFacts, node: Node): void {
  for (const value of node.outputs) {
    if (value === '' || !sizes.changes(value)) continue;
    if (view.isOutput(value))
      throw cannotFollow(node, `it is an output of the model and a size that the cut changes`);
    const body = view.uses(value).find(({ inputIndex }) => inputIndex < 0);
    if (body !== undefined)
      throw cannotFollow(body.node, `its body reads ${value}, a size that the cut changes`);
  }
}

/** Gives a node its own shorter copies of the constants that are cut for it. */
function cutConstants(
  { view }: GraphContext,
  kept: KeptAxes,
  rewrite: Rewrite,
  node: Node,
  resized: Node,
): Node {
  let inputs: string[] | undefined;
  node.inputs.forEach((value, index) => {
    const constant = value === '' ? undefined : findConstant(view, value);
    const axes = kept.of(value, { node, index });
    if (constant === undefined || constant.path.length > 0 || axes.size === 0) return;
    const isShared = kept.of(value) === axes;
    if (isShared && view.graph.initializers.has(value)) return;
    const only =
      view.uses(value).length === 1 &&
      view.graph.initializers.has(value) &&
      !view.isOutput(value) &&
      !view.graph.inputs.some(({ name }) => name === value);
    const tensor = pickKept({ ...constant.tensor, name: value }, axes);
    inputs ??= [...resized.inputs];
    if (only) rewrite.added.set(value, tensor);
    else {
      inputs[index] = addConstant(rewrite, tensor);
      rewrite.perhapsUnused.add(value);
    }
  });
  if (inputs === undefined || inputs.every((value, index) => value === resized.inputs[index]))
    return resized;
  return { ...resized, inputs };
}

/** A matrix that several nodes read is cut once, under its name. */
function cutShared({ view }: GraphContext, kept: KeptAxes, rewrite: Rewrite): void {
  for (const { value, reader } of kept.places) {
    const tensor = view.graph.initializers.get(value);
    if (reader !== undefined || tensor === undefined) continue;
    rewrite.added.set(value, pickKept(tensor, kept.of(value)));
  }
}

function pickKept(tensor: Tensor, axes: ReadonlyMap<number, Uint8Array>): Tensor {
  const picks = [...axes].map(
    ([axis, pattern]) => [axis, keptIndices(pattern, tensor.dims[axis] ?? 0)] as const,
  );
  return pickAlongAxes(tensor, new Map(picks));
}

/** Inputs and outputs that lose heads: caches, and weights that a file lists as inputs too. */
function withInterface(graph: Graph, kept: KeptAxes): Graph {
  const shorten = (info: ValueInfo): ValueInfo => {
    const shape = info.type?.kind === 'tensor' ? info.type.shape : undefined;
    if (info.type?.kind !== 'tensor' || shape === undefined || kept.of(info.name).size === 0)
      return info;
    return { ...info, type: { ...info.type, shape: kept.shape(info.name, shape) } };
  };
  return { ...graph, inputs: graph.inputs.map(shorten), outputs: graph.outputs.map(shorten) };
}

/** Infers all shapes anew and holds them against what the cut should give. */
function verifyShapes({ view }: GraphContext, kept: KeptAxes, pruned: Model): void {
  const after = inferFacts(pruned).of(pruned.graph);
  for (const node of view.graph.nodes) {
    for (const value of node.outputs) {
      const [before, now] = [view.facts(value).shape, after.get(value)?.shape];
      if (before === undefined || now === undefined) continue;
      const expected = kept.shape(value, before);
      const wrong = expected.findIndex(
        (dim, axis) =>
          typeof dim === 'number' && typeof now[axis] === 'number' && dim !== now[axis],
      );
      if (wrong >= 0 && !isSizeVector(view.facts(value).dataType)) {
        throw cannotFollow(
          node,
          `axis ${wrong} of ${value} is ${now[wrong]}, expected ${expected[wrong]}`,
        );
      }
    }
  }
}

/** Shape arithmetic may well change with the sizes. */
function isSizeVector(dataType: string | undefined): boolean {
  return dataType === 'int64' || dataType === 'int32';
}
