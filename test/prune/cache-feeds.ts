/** Caches as the callers of small attention graphs give them, before the cut and after it. */
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { Model } from '../../src/ir/model.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { value } from '../kit/models.ts';
import type { Feeds } from '../kit/run-model.ts';
import { floatTensor, X } from './prune-and-compare.ts';

/** A cache of three earlier tokens, of which the cut model gets the heads that are left. */
export function cacheFeeds(names: readonly string[], shape: readonly number[], axis: number) {
  const size = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
  const caches: Feeds = Object.fromEntries(
    names.map((name, index) => [name, floatTensor(30 + index, ...shape)]),
  );
  const after = (cuts: readonly Cut[]): Feeds => {
    const gone = new Set(cuts.flatMap(({ removed }) => removed));
    const inner = size(shape.slice(axis + 1));
    const kept = Object.entries(caches).map(([name, { data }]) => {
      const rows = [...(data as Float32Array)].filter(
        (_, at) => !gone.has(Math.floor(at / inner) % shape[axis]!),
      );
      const dims = shape.with(axis, shape[axis]! - gone.size);
      return [name, new OrtTensor('float32', Float32Array.from(rows), dims)] as const;
    });
    return { x: X, ...Object.fromEntries(kept) };
  };
  return { feeds: { x: X, ...caches }, after };
}

/** The model with float inputs of one shape beside its own. */
export function withInputs(
  model: Model,
  names: readonly string[],
  shape: readonly number[],
): Model {
  const inputs = names.map((name) => value(name, 'float32', shape));
  return { ...model, graph: { ...model.graph, inputs: [...model.graph.inputs, ...inputs] } };
}
