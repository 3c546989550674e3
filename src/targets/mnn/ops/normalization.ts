/** Normalisations. */
import { floatAttribute, intAttribute } from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { elementCount, inlineSource, type Tensor, type TensorSource } from '../../../ir/tensor.ts';
import { positiveAxis } from '../../../ops/op-spec.ts';
import {
  emit,
  type Lowering,
  type LowerNode,
  OTHER_TARGET,
  refuseNode,
  shapeOf,
} from '../lowering.ts';
import { float32Source } from '../weight-sources.ts';
import { binary } from './elementwise.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

/** A norm over the last axes. */
export interface NormSpec {
  readonly kind: 'rms' | 'layer';
  /** How many trailing axes are normalised together. */
  readonly axes: number;
  readonly epsilon: number;
  readonly gamma: Tensor | undefined;
  readonly beta: Tensor | undefined;
}

/** Adds a norm. */
export function addNorm(
  lowering: Lowering,
  input: string,
  { kind, axes, epsilon, gamma, beta }: NormSpec,
  output: string,
): string {
  // The runtime passes over a gamma that has no beta beside it.
  const scale = gamma && float32Source(gamma);
  const shift = beta === undefined ? zerosLike(scale) : float32Source(beta);
  return emit(lowering, 'LayerNorm', [input], output, {
    kind: 'LayerNorm',
    value: {
      axis: Array.from({ length: axes }, (_, at) => at - axes),
      epsilon,
      ...(scale !== undefined && shift !== undefined && { gamma: scale, beta: shift }),
      group: 1,
      useRMSNorm: kind === 'rms',
    },
  });
}

function zerosLike(source: TensorSource | undefined): TensorSource | undefined {
  return source && inlineSource(new Uint8Array(source.byteLength));
}

function constantOf(lowering: Lowering, node: Node, value: string | undefined): Tensor | undefined {
  if (value === undefined || value === '') return undefined;
  const tensor = lowering.constant(value);
  if (tensor !== undefined) return tensor;
  return refuseNode(node, `${value} is computed in each run`, OTHER_TARGET);
}

/** LayerNormalization and RMSNormalization over the axes from `axis` on. */
const norm: LowerNode = (lowering, node) => {
  const [input = '', gammaName, betaName] = node.inputs;
  const shape = shapeOf(lowering, node, input);
  const axis = positiveAxis(intAttribute(node, 'axis', -1), shape.length);
  if (node.outputs.slice(1).some((name) => name !== '')) {
    refuseNode(node, 'its mean or deviation is read', 'Compute them by ReduceMean in the model.');
  }
  const isRms = node.opType !== 'LayerNormalization';
  const [gamma, beta] = [
    constantOf(lowering, node, gammaName),
    constantOf(lowering, node, betaName),
  ];
  const epsilon = floatAttribute(node, 'epsilon', 1e-5);
  const whole = shape.slice(axis).every((dim) => typeof dim === 'number')
    ? elementCount(shape.slice(axis).map(Number))
    : undefined;
  const spec = { kind: isRms ? 'rms' : 'layer', axes: shape.length - axis, epsilon } as const;
  const isFull = gamma === undefined || elementCount(gamma.dims) === whole;
  if (isFull) addNorm(lowering, lowering.read(input), { ...spec, gamma, beta }, first(node));
  else
    affine(
      lowering,
      node,
      addNorm(
        lowering,
        lowering.read(input),
        { ...spec, gamma: undefined, beta: undefined },
        lowering.fresh('norm'),
      ),
    );
};

/** A gamma that broadcasts is multiplied by itself. */
function affine(lowering: Lowering, node: Node, normed: string): void {
  const [, gamma = '', beta = ''] = node.inputs;
  const scaled = binary(
    lowering,
    'mul',
    [normed, lowering.read(gamma)],
    beta === '' ? first(node) : undefined,
  );
  if (beta !== '') binary(lowering, 'add', [scaled, lowering.read(beta)], first(node));
}

/** onnxruntime's norms that add the residual first: output 3 is the sum. */
const skipNorm: LowerNode = (lowering, node) => {
  const [input = '', skip = '', gammaName, ...rest] = node.inputs;
  const isRms = node.opType === 'SkipSimplifiedLayerNormalization';
  const [betaName, biasName = ''] = isRms ? [undefined, rest[0]] : rest;
  const [, mean = '', deviation = '', sum = ''] = node.outputs;
  if (mean !== '' || deviation !== '') {
    refuseNode(node, 'its mean or deviation is read', 'Compute them by ReduceMean in the model.');
  }
  const total = sum === '' ? lowering.fresh(`${first(node)}_sum`) : sum;
  const operands = [lowering.read(input), lowering.read(skip)] as const;
  const added =
    biasName === ''
      ? binary(lowering, 'add', operands, total)
      : binary(
          lowering,
          'add',
          [binary(lowering, 'add', operands), lowering.read(biasName)],
          total,
        );
  const spec = {
    kind: isRms ? 'rms' : 'layer',
    axes: 1,
    epsilon: floatAttribute(node, 'epsilon', 1e-12),
    gamma: constantOf(lowering, node, gammaName),
    beta: constantOf(lowering, node, betaName),
  } as const;
  addNorm(lowering, added, spec, first(node));
};

/** Inference form: `x * scale / sqrt(var + epsilon) + ...` by channels, computed in float32 from four vectors. */
const batchNorm: LowerNode = (lowering, node) => {
  const [input = '', ...names] = node.inputs;
  if (intAttribute(node, 'training_mode', 0) === 1 || node.outputs.length > 1) {
    refuseNode(node, 'it is in training mode', 'Export the model for inference.');
  }
  const vectors = names.map((name) => constantOf(lowering, node, name));
  const rank = shapeOf(lowering, node, input).length;
  const [scale, shift, mean, variance] = vectors;
  if (scale === undefined || shift === undefined || mean === undefined || variance === undefined) {
    return refuseNode(node, 'one of its vectors is missing', OTHER_TARGET);
  }
  const epsilon = floatAttribute(node, 'epsilon', 1e-5);
  const channels = elementCount(scale.dims);
  const dims = [1, channels, ...new Array<number>(Math.max(0, rank - 2)).fill(1)];
  const factor = combined(
    [scale, variance],
    channels,
    ([s = 0, v = 0]) => s / Math.sqrt(v + epsilon),
  );
  const summand = combined(
    [scale, variance, shift, mean],
    channels,
    ([s = 0, v = 0, b = 0, m = 0]) => b - (m * s) / Math.sqrt(v + epsilon),
  );
  const constant = (source: TensorSource, name: string): string => {
    const value = { dims, dataFormat: 0, dataType: 1, float32s: source };
    const output = lowering.fresh(`${first(node)}_${name}`);
    return emit(lowering, 'Const', [], output, { kind: 'Blob', value });
  };
  const product = binary(lowering, 'mul', [lowering.read(input), constant(factor, 'factor')]);
  binary(lowering, 'add', [product, constant(summand, 'summand')], first(node));
};

/** Returns float32 numbers made of those of equally long vectors. */
function combined(
  tensors: readonly Tensor[],
  count: number,
  combine: (values: readonly number[]) => number,
): TensorSource {
  const sources = tensors.map(float32Source);
  return {
    byteLength: 4 * count,
    async read(into, offset) {
      const lists = await Promise.all(
        sources.map(async (source) => {
          const bytes = new Uint8Array(4 * count);
          await source.read(bytes, 0);
          return new Float32Array(bytes.buffer);
        }),
      );
      const made = Float32Array.from({ length: count }, (_, at) =>
        combine(lists.map((list) => list[at]!)),
      );
      into.set(new Uint8Array(made.buffer).subarray(offset, offset + into.length));
    },
  };
}

/** Normalising rows by op type. */
export const NORMALIZATION: Readonly<Record<string, LowerNode>> = {
  BatchNormalization: batchNorm,
  LayerNormalization: norm,
  RMSNormalization: norm,
  SimplifiedLayerNormalization: norm,
  'com.microsoft.SimplifiedLayerNormalization': norm,
  'com.microsoft.SkipLayerNormalization': skipNorm,
  'com.microsoft.SkipSimplifiedLayerNormalization': skipNorm,
};
