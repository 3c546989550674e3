/** Norms, softmax, reductions and convolutions. */
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { positiveAxis } from '../../../ops/op-spec.ts';
import type { Norm } from '../../../structure/find-norms.ts';
import type { Ref } from '../builder.ts';
import { convertConstant } from '../convert-constant.ts';
import {
  floatOf,
  integersOf,
  type Lowering,
  type LowerNode,
  lowerTo,
  NotLowered,
  read,
  shapeOf,
  tensorOf,
} from '../lowering.ts';

/** The root mean square of less is taken as this, so that nothing is divided by zero. */
const LEAST_MAGNITUDE = 1e-4;

/**
 * Emits `x / rms(x) * weight` whose squares pass no range: everything is divided by the largest |x| of the
 * row first, epsilon with it (adding it undivided would inflate it by the square of that magnitude).
 */
function lowerRms(
  { builder }: Lowering,
  x: Ref,
  wanted: string,
  { epsilon, weight }: { readonly epsilon: number; readonly weight: Ref | undefined },
): Ref {
  const at = (part: string): string => `${wanted}_${part}`;
  const last = { axes: [-1], keep_dims: true };
  const size = builder.emit('reduce_max', at('max'), {
    x: builder.emit('abs', at('abs'), { x }),
    ...last,
  });
  const most = builder.emit('maximum', at('most'), { x: size, y: LEAST_MAGNITUDE });
  const unit = builder.emit('real_div', at('unit'), { x, y: most });
  const mean = builder.emit('reduce_mean', at('mean'), {
    x: builder.emit('mul', at('square'), { x: unit, y: unit }),
    ...last,
  });
  const root = builder.emit('real_div', at('epsilon_root'), { x: Math.sqrt(epsilon), y: most });
  const sum = builder.emit('add', at('sum'), {
    x: mean,
    y: builder.emit('mul', at('epsilon'), { x: root, y: root }),
  });
  const inverse = builder.emit('rsqrt', at('inverse'), { x: sum, epsilon: 0 });
  const normed = builder.emit('mul', weight === undefined ? wanted : at('normed'), {
    x: unit,
    y: inverse,
  });
  return weight === undefined ? normed : builder.emit('mul', wanted, { x: normed, y: weight });
}

/** Emits a recognised norm, whatever ops spell it, and defines its output (and the sum of a skip norm). */
export function lowerNorm(lowering: Lowering, norm: Norm, end: Node): void {
  const { builder, values } = lowering;
  let x = read(lowering, norm.input);
  if (norm.skip !== undefined) {
    x = builder.emit('add', norm.skip.sum ?? `${norm.output}_sum`, {
      x,
      y: read(lowering, norm.skip.value),
    });
    if (norm.skip.sum !== undefined) values.set(norm.skip.sum, x);
  }
  const weight = constantVector(lowering, norm.weight);
  const epsilon = norm.epsilon ?? 1e-5;
  if (norm.kind === 'rms') {
    values.set(norm.output, lowerRms(lowering, x, norm.output, { epsilon, weight }));
    return;
  }
  const width = Number(x.type.dims.at(-1));
  const axis = intAttribute(end, 'axis', -1);
  if (norm.form === 'operator' && positiveAxis(axis, x.type.dims.length) !== x.type.dims.length - 1)
    throw new NotLowered('norms over several axes');
  const gamma = weight ?? vector(lowering, width, 1);
  const beta = constantVector(lowering, norm.bias) ?? vector(lowering, width, 0);
  values.set(
    norm.output,
    builder.emit('layer_norm', norm.output, { x, axes: [-1], gamma, beta, epsilon }),
  );
}

function constantVector(lowering: Lowering, path: Norm['weight']): Ref | undefined {
  if (path === undefined) return undefined;
  const count = path.tensor.dims.reduce((product, dim) => product * dim, 1);
  return lowering.builder.constant(
    path.initializer,
    convertConstant({ ...path.tensor, dims: [count] }, 'fp16', lowering.builder.specification),
  );
}

/** Returns a constant vector of one number. */
export function vector({ builder, constants }: Lowering, count: number, value: number): Ref {
  const key = `vector ${count} ${value}`;
  const known = constants.get(key);
  if (known !== undefined) return known;
  const tensor = {
    name: key,
    dataType: 'float32' as const,
    dims: [count],
    source: filled(count, value),
  };
  const made = builder.constant(
    `const_${count}_of_${value}`,
    convertConstant(tensor, 'fp16', builder.specification),
  );
  constants.set(key, made);
  return made;
}

function filled(
  count: number,
  value: number,
): {
  byteLength: number;
  bytes: Uint8Array;
  key: string;
  read(into: Uint8Array, offset: number): Promise<void>;
} {
  const bytes = new Uint8Array(new Float32Array(count).fill(value).buffer);
  return {
    byteLength: bytes.length,
    bytes,
    key: `filled ${count} ${value}`,
    read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
  };
}

const lowerSoftmax: LowerNode = (lowering, node) => {
  const x = read(lowering, node.inputs[0]!);
  const axis = intAttribute(node, 'axis', lowering.opset >= 13 ? -1 : 1);
  if (lowering.opset < 13 && axis !== x.type.dims.length - 1)
    throw new NotLowered('flattens, as Softmax did before opset 13');
  lowerTo(lowering, node, 'softmax', { x, axis });
};

const reduce =
  (type: string): LowerNode =>
  (lowering, node) => {
    const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
    const given = node.inputs[1];
    const listed =
      given === undefined || given === ''
        ? intsAttribute(node, 'axes')
        : integersOf(lowering, given);
    const axes =
      listed === undefined || listed.length === 0 ? x.type.dims.map((_, axis) => axis) : listed;
    lowerTo(lowering, node, type, { x, axes, keep_dims: intAttribute(node, 'keepdims', 1) === 1 });
  };

const lowerGlobalPool: LowerNode = (lowering, node) => {
  const x = read(lowering, node.inputs[0]!);
  lowerTo(lowering, node, 'reduce_mean', {
    x,
    axes: x.type.dims.map((_, axis) => axis).slice(2),
    keep_dims: true,
  });
};

const lowerConv: LowerNode = (lowering, node) => {
  const { builder } = lowering;
  const auto = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  if (auto !== 'NOTSET' && auto !== 'VALID') throw new NotLowered(`pads by ${auto}`);
  const tensor = tensorOf(lowering, node.inputs[1]!);
  if (tensor === undefined) throw new NotLowered('has a weight that is computed in a run');
  const rank = tensor.dims.length - 2;
  if (rank > 2) throw new NotLowered('convolves over three axes');
  const pads = intsAttribute(node, 'pads') ?? new Array<number>(2 * rank).fill(0);
  const ones = new Array<number>(rank).fill(1);
  const bias = node.inputs[2];
  lowerTo(lowering, node, 'conv', {
    x: read(lowering, node.inputs[0]!),
    weight: builder.constant(
      node.inputs[1]!,
      convertConstant(tensor, 'fp16', builder.specification),
    ),
    bias:
      bias === undefined || bias === ''
        ? vector(lowering, tensor.dims[0]!, 0)
        : read(lowering, bias),
    strides: intsAttribute(node, 'strides') ?? ones,
    pad_type: 'custom',
    pad: ones.flatMap((_, axis) => [pads[axis] ?? 0, pads[axis + rank] ?? 0]),
    dilations: intsAttribute(node, 'dilations') ?? ones,
    groups: intAttribute(node, 'group', 1),
  });
};

const lowerBatchNorm: LowerNode = (lowering, node) => {
  if (shapeOf(lowering, node.inputs[0]!).length < 3) throw new NotLowered('norms rank 2');
  const [x, gamma, beta, mean, variance] = node.inputs.map((name) => read(lowering, name));
  lowerTo(lowering, node, 'batch_norm', {
    x: x!,
    mean: mean!,
    variance: variance!,
    gamma: gamma!,
    beta: beta!,
    epsilon: floatAttribute(node, 'epsilon', 1e-5),
  });
};

/** Rows by ONNX operator. */
export const NORMALIZE: Readonly<Record<string, LowerNode>> = {
  Softmax: lowerSoftmax,
  GlobalAveragePool: lowerGlobalPool,
  Conv: lowerConv,
  BatchNormalization: lowerBatchNorm,
  ReduceMean: reduce('reduce_mean'),
  ReduceSum: reduce('reduce_sum'),
  ReduceMax: reduce('reduce_max'),
  ReduceMin: reduce('reduce_min'),
};
