import { isFloatDataType } from '../../ir/data-type.ts';
import type { Node } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { elementCount } from '../../ir/tensor.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';
import { type ConstantPath, findConstant } from '../../structure/constant-path.ts';
import type { Norm } from '../../structure/find-norms.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import { typeAfter } from '../layer-limits.ts';
import type { Fold, VectorFold } from './smoothing-site.ts';
import type { Obstacle } from './trace-channels.ts';

/** Returns why the weight of a layer cannot be scaled in place, or undefined when it can. */
export function whyNotFoldable(view: GraphView, layer: LinearLayer): string | undefined {
  const { tensor, useCount, path, initializer } = layer.weight;
  if (!isOp(layer.node, 'MatMul', 'Gemm')) return `${layer.node.opType} is not folded`;
  if (tensor.dims.length !== 2) return `weight has ${tensor.dims.length} dimensions`;
  if (!isFloatDataType(tensor.dataType) || tensor.dataType === 'float64') {
    return `weight is ${tensor.dataType}`;
  }
  if (useCount > 1) return `weight ${initializer} is shared by ${useCount} nodes`;
  if (view.isOutput(initializer)) return `weight ${initializer} is an output of the model`;
  for (const step of path) {
    if (!isOp(step, 'Identity', 'Cast', 'Transpose')) return `weight is computed by ${step.opType}`;
    const readers = view.uses(step.outputs[0] ?? '').length;
    if (readers > 1) return `weight ${initializer} is shared by ${readers} nodes`;
  }
  return undefined;
}

/** Returns weight and bias of a norm as folds, or why they cannot be divided. */
export function normFolds(
  view: GraphView,
  norm: Norm,
  channels: number,
): readonly Fold[] | Obstacle {
  const label = nodeLabel(norm.nodes.at(-1)!);
  if (norm.weight === undefined) return { node: label, reason: 'the norm has no constant weight' };
  const folds: Fold[] = [];
  for (const constant of [norm.weight, norm.bias]) {
    if (constant === undefined) continue;
    const fold = vectorFold(view, norm.nodes, constant, channels, 0);
    if ('reason' in fold) return { node: label, reason: fold.reason };
    folds.push(fold);
  }
  return folds;
}

/** Returns the bias of a layer as a fold, undefined when there is none, or why it cannot be divided. */
export function biasFold(
  view: GraphView,
  layer: LinearLayer,
  first: number,
): VectorFold | Obstacle | undefined {
  if (layer.bias === undefined) return undefined;
  const reader = layer.bias.add ?? layer.node;
  const value = reader.inputs.find((name, inputIndex) => {
    const isBias = layer.bias?.add !== undefined || inputIndex === 2;
    return isBias && findConstant(view, name)?.initializer === layer.bias?.initializer;
  });
  const constant = value === undefined ? undefined : findConstant(view, value);
  if (constant === undefined) return { node: nodeLabel(reader), reason: 'the bias was not found' };
  return vectorFold(view, [reader], constant, layer.outFeatures, first);
}

/** A vector may be shared: the reader gets one of its own. */
function vectorFold(
  view: GraphView,
  nodes: readonly Node[],
  constant: ConstantPath,
  width: number,
  first: number,
): VectorFold | Obstacle {
  const { tensor, initializer, path, value } = constant;
  const reader = nodes.find((node) => node.inputs.includes(value));
  const node = reader === undefined ? initializer : nodeLabel(reader);
  if (reader === undefined) return { node, reason: `nobody reads ${value}` };
  const odd = path.find((step) => !isOp(step, 'Identity', 'Cast'));
  if (odd !== undefined) return { node, reason: `${initializer} is computed by ${odd.opType}` };
  const isVector = elementCount(tensor.dims) === width && tensor.dims.at(-1) === width;
  if (!isVector) return { node, reason: `${initializer} has not ${width} elements` };
  const dataType = typeAfter(tensor.dataType, path);
  if (![tensor.dataType, dataType].every((type) => type === 'float16' || type === 'float32')) {
    return { node, reason: `${initializer} is ${tensor.dataType}` };
  }
  void view;
  const inputIndex = reader.inputs.indexOf(value);
  return { kind: 'vector', reader, inputIndex, tensor, initializer, path, dataType, first };
}
