import { editGraph, nameMaker, withGraph } from '../../ir/edit.ts';
import type { Model, Node } from '../../ir/model.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import { numbersOf } from '../../ops/op-spec.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { eliminateDead } from '../../passes/eliminate-dead.ts';
import { foldConstants } from '../../passes/fold-constants.ts';
import { type GraphView, viewGraph } from '../../passes/graph-view.ts';
import { inferShapes } from '../../passes/infer-shapes.ts';
import { runPasses } from '../../passes/pass.ts';

/**
 * Returns the float32 twin of a model without the arithmetic on shapes that constants can stand for:
 * `Reshape(x, Concat(Shape(x)[0], Shape(x)[1], 8, 64))` becomes `Reshape(x, [0, 0, 8, 64])`.
 */
export function prepareForMnn(model: Model): Model {
  const twin = runPasses(model, [convertToFloat32, inferShapes, foldConstants]);
  return runPasses(settleShapes(twin), [inferShapes, foldConstants, eliminateDead]);
}

/** Gives Reshape a constant target wherever one says the same for every size of the inputs. */
function settleShapes(model: Model): Model {
  const view = viewGraph(model);
  const freshName = nameMaker(model.graph);
  const replace = new Map<Node, readonly Node[]>();
  const added: Tensor[] = [];
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Reshape' || node.domain !== '') continue;
    const dims = settledTarget(view, node);
    if (dims === undefined) continue;
    const name = freshName(`${node.outputs[0]}_target`);
    const bytes = new Uint8Array(BigInt64Array.from(dims, BigInt).buffer);
    added.push(inlineTensor(name, 'int64', [dims.length], bytes));
    // Without allowzero, 0 copies an axis.
    replace.set(node, [{ ...node, inputs: [node.inputs[0] ?? '', name], attributes: new Map() }]);
  }
  return withGraph(model, editGraph(model.graph, { replace, addInitializers: added }));
}

/** Axes that stay where they are become 0, one other axis whose size a run knows becomes -1. */
function settledTarget(view: GraphView, node: Node): readonly number[] | undefined {
  const [input = '', target = ''] = node.inputs;
  if (numbersOf(view.facts(target)) !== undefined) return undefined;
  const from = view.facts(input).shape;
  const to = view.facts(node.outputs[0] ?? '').shape;
  if (from === undefined || to === undefined) return undefined;
  // An axis copied by its position has to have a name: two unknown sizes may differ.
  const dims = to.map((dim, axis): number => {
    if (typeof dim === 'number') return dim;
    return dim !== undefined && dim === from[axis] ? 0 : -1;
  });
  if (to.includes(0)) return undefined;
  return dims.filter((dim) => dim === -1).length <= 1 ? dims : undefined;
}
