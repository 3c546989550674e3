/** Ops that move, pick and join elements. */
import { type BINARY, DATA_TYPE, NET_SOURCE } from '../../../formats/mnn/enums.ts';
import { intAttribute, intsAttribute } from '../../../ir/attributes.ts';
import type { Dim, Node } from '../../../ir/model.ts';
import { numbersOf, positiveAxis } from '../../../ops/op-spec.ts';
import {
  emit,
  intsOf,
  kindOfValue,
  type Lowering,
  type LowerNode,
  refuseNode,
  shapeOf,
} from '../lowering.ts';
import { reshape as addReshape, FAR, sizesTensor } from '../sizes.ts';
import { binary } from './elementwise.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

/** Reshape by known sizes where they are, else by those that the run computes. */
const reshape: LowerNode = (lowering, node) => {
  const [input = '', target = ''] = node.inputs;
  const known = numbersOf(lowering.facts(target));
  const tensor = lowering.read(input);
  if (intAttribute(node, 'allowzero', 0) === 1 && known?.includes(0) === true) {
    refuseNode(node, 'an axis of size 0', 'Export the model without empty tensors.');
  }
  if (known !== undefined) {
    // 0 copies an axis, -1 takes the rest, in MNN as in ONNX.
    const main = { kind: 'Reshape', value: { dims: known } } as const;
    emit(lowering, 'Reshape', [tensor], first(node), main);
    return;
  }
  const { shape } = lowering.facts(first(node));
  if (shape === undefined) {
    emit(lowering, 'Reshape', [tensor, lowering.read(target)], first(node), {
      kind: 'Reshape',
      value: {},
    });
  } else addReshape(lowering, tensor, shape, first(node), () => lowering.read(target));
};

/** Flatten, Squeeze and Unsqueeze give shapes that inference knows. */
const flatten: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const shape = shapeOf(lowering, node, first(node));
  addReshape(lowering, lowering.read(input), shape, first(node), () =>
    refuseNode(node, 'sizes of both axes are known in a run alone', 'Use Reshape in the model.'),
  );
};

function axesOf(lowering: Lowering, node: Node): readonly number[] | undefined {
  const [, given = ''] = node.inputs;
  return (
    intsAttribute(node, 'axes') ??
    (given === '' ? undefined : intsOf(lowering, node, given, 'axes'))
  );
}

const squeeze: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const shape = shapeOf(lowering, node, input);
  const given = axesOf(lowering, node)?.map((axis) => positiveAxis(axis, shape.length));
  const squeezeDims = given ?? shape.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
  emit(lowering, 'Squeeze', [lowering.read(input)], first(node), {
    kind: 'SqueezeParam',
    value: { squeezeDims },
  });
};

const unsqueeze: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const axes = axesOf(lowering, node) ?? [];
  const rank = shapeOf(lowering, node, input).length + axes.length;
  const squeezeDims = axes.map((axis) => positiveAxis(axis, rank)).sort((a, b) => a - b);
  emit(lowering, 'Unsqueeze', [lowering.read(input)], first(node), {
    kind: 'SqueezeParam',
    value: { squeezeDims },
  });
};

const transpose: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const rank = shapeOf(lowering, node, input).length;
  const dims =
    intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, at) => rank - 1 - at);
  permute(lowering, lowering.read(input), dims, first(node));
};

/** Adds a transpose. */
export function permute(
  lowering: Lowering,
  tensor: string,
  dims: readonly number[],
  output: string = lowering.fresh(`${tensor}_permuted`),
): string {
  return emit(lowering, 'Permute', [tensor], output, { kind: 'Permute', value: { dims } });
}

/** Adds a concatenation. */
export function concat(
  lowering: Lowering,
  tensors: readonly string[],
  axis: number,
  output: string = lowering.fresh(`${tensors[0]}_joined`),
): string {
  return emit(lowering, 'Concat', tensors, output, { kind: 'Axis', value: { axis } });
}

const concatenate: LowerNode = (lowering, node) => {
  const rank = shapeOf(lowering, node, node.inputs[0] ?? '').length;
  const axis = positiveAxis(intAttribute(node, 'axis', 0), rank);
  const tensors = node.inputs.map((name) => lowering.read(name));
  concat(lowering, tensors, axis, first(node));
};

/** Adds a split into parts of known sizes along an axis. */
export function splitSizes(
  lowering: Lowering,
  tensor: string,
  axis: number,
  sizes: readonly number[],
  outputs: readonly string[],
): void {
  lowering.add({
    type: 'Slice',
    inputs: [tensor],
    outputs,
    main: { kind: 'Slice', value: { axis, slicePoints: sizes, sourceType: NET_SOURCE.torch } },
  });
}

const split: LowerNode = (lowering, node) => {
  const [input = '', given = ''] = node.inputs;
  const shape = shapeOf(lowering, node, input);
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const sizes = node.outputs.map((output) => lowering.facts(output).shape?.[axis]);
  const stated = intsAttribute(node, 'split') ?? numbersOf(lowering.facts(given));
  const known = stated ?? (sizes.every((size) => typeof size === 'number') ? sizes : undefined);
  if (known === undefined) {
    return refuseNode(node, 'sizes of parts are known in a run alone', 'Use Slice in the model.');
  }
  // A part that nobody reads has an empty name in ONNX; in MNN every output is a tensor.
  const outputs = node.outputs.map((name, at) =>
    name === '' ? lowering.fresh(`${first(node)}_part${at}`) : name,
  );
  splitSizes(lowering, lowering.read(input), axis, known, outputs);
};

/** Adds a slice by tensors of starts, ends, axes and steps. */
export function slice(
  lowering: Lowering,
  tensor: string,
  ranges: readonly [starts: string, ends: string, axes: string, steps: string],
  output: string = lowering.fresh(`${tensor}_slice`),
  kind: 'float' | 'int' = 'float',
): string {
  const T = kind === 'float' ? DATA_TYPE.float : DATA_TYPE.int32;
  return emit(lowering, 'StridedSlice', [tensor, ...ranges], output, {
    kind: 'StridedSliceParam',
    value: { Index: DATA_TYPE.int32, T, fromType: 1 },
  });
}

/** Adds a slice `[start, end)` of one axis. */
export function sliceAxis(
  lowering: Lowering,
  tensor: string,
  axis: number,
  [start, end]: readonly [number, number],
  output?: string,
): string {
  const vector = (value: number): string => lowering.ints([value]);
  return slice(lowering, tensor, [vector(start), vector(end), vector(axis), vector(1)], output);
}

const sliceNode: LowerNode = (lowering, node) => {
  const [input = '', starts = '', ends = '', axesInput = '', stepsInput = ''] = node.inputs;
  const shape = shapeOf(lowering, node, input);
  const count = lowering.facts(starts).shape?.[0];
  const axes =
    axesInput === ''
      ? Array.from({ length: typeof count === 'number' ? count : shape.length }, (_, at) => at)
      : intsOf(lowering, node, axesInput, 'axes').map((axis) => positiveAxis(axis, shape.length));
  const steps = stepsInput === '' ? axes.map(() => 1) : intsOf(lowering, node, stepsInput, 'steps');
  const bounds = (value: string): string => {
    const known = numbersOf(lowering.facts(value));
    if (known === undefined) return lowering.read(value);
    return lowering.ints(known.map((bound, at) => clampBound(bound, shape[axes[at] ?? 0])));
  };
  const ranges = [bounds(starts), bounds(ends), lowering.ints(axes), lowering.ints(steps)] as const;
  if (steps.some((step) => step < 0)) {
    refuseNode(node, 'a negative step', 'Reverse by Gather in the model.');
  }
  slice(lowering, lowering.read(input), ranges, first(node), kindOfValue(lowering, input));
};

/** Bounds past the end, like 2^63 - 1, as far as 32 bits go. */
function clampBound(bound: number, dim: Dim): number {
  const far = typeof dim === 'number' ? dim : FAR;
  return Math.max(-far, Math.min(bound, far));
}

/** Broadcasts by sizes that are known or those of graph inputs. */
const expand: LowerNode = (lowering, node) => {
  const [input = '', target = ''] = node.inputs;
  const from = shapeOf(lowering, node, input);
  const to = lowering.facts(first(node)).shape;
  const tensor = lowering.read(input);
  const kind = kindOfValue(lowering, input);
  const wanted = lowering.facts(target).elements;
  const grows = to?.map((dim, axis) => dim !== from[axis - (to.length - from.length)]);
  const factors = to?.map((dim, axis) => (grows?.[axis] ? dim : 1));
  if (factors?.every((dim) => typeof dim === 'number') && wanted !== undefined) {
    // By a neutral operand, which keeps axes whose sizes a run knows.
    const count = factors.reduce<number>((product, dim) => product * Number(dim), 1);
    const operation = kind === 'float' ? 'mul' : 'add';
    const neutral =
      kind === 'float'
        ? lowering.floatsOf(new Array(count).fill(1), factors.map(Number))
        : lowering.ints(new Array(count).fill(0), factors.map(Number));
    if (count <= MAX_NEUTRAL) {
      binary(lowering, operation as keyof typeof BINARY, [tensor, neutral], first(node), kind);
      return;
    }
  }
  const sizes = (to === undefined ? undefined : sizesTensor(lowering, to)) ?? lowering.read(target);
  emit(lowering, 'BroadcastTo', [tensor, sizes], first(node));
};

/** Elements of a neutral operand; above, BroadcastTo costs less. */
const MAX_NEUTRAL = 4096;

const tile: LowerNode = (lowering, node) => {
  emit(
    lowering,
    'Tile',
    node.inputs.map((name) => lowering.read(name)),
    first(node),
  );
};

/** Moving rows by op type. */
export const REARRANGE: Readonly<Record<string, LowerNode>> = {
  Concat: concatenate,
  Expand: expand,
  Flatten: flatten,
  Reshape: reshape,
  Slice: sliceNode,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: unsqueeze,
};
