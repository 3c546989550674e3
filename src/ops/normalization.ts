/** Normalisations. All keep the shape of their first input. */
import { intAttribute } from '../ir/attributes.ts';
import type { Dim, Node } from '../ir/model.ts';
import { type Facts, type OpSpec, positiveAxis, specs, UNKNOWN } from './op-spec.ts';

/** Mean and inverse deviation have the normalised axes reduced to 1. */
function statisticShape(node: Node, input: Facts): readonly Dim[] | undefined {
  const { shape } = input;
  if (shape === undefined) return undefined;
  const axis = positiveAxis(intAttribute(node, 'axis', -1), shape.length);
  return shape.map((dim, at) => (at < axis ? dim : 1));
}

const layerNormalization: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const statistic: Facts = { dataType: 'float32', shape: statisticShape(node, input) };
  const normalized: Facts = { dataType: input.dataType, shape: input.shape };
  return [normalized, statistic, statistic];
};

/** com.microsoft Skip forms: output 3 is `input + skip`, what a residual stream carries on. */
const skipNormalization: OpSpec['infer'] = (node, [input = UNKNOWN, skip = UNKNOWN]) => {
  const shape = input.shape ?? skip.shape;
  const normalized: Facts = { dataType: input.dataType ?? skip.dataType, shape };
  const statistic: Facts = { dataType: 'float32', shape: statisticShape(node, normalized) };
  return [normalized, statistic, statistic, normalized];
};

const channelNormalization: OpSpec['infer'] = (_node, [input = UNKNOWN]) => [
  { dataType: input.dataType, shape: input.shape },
];

/** Normalising operators. */
export const NORMALIZATION: readonly OpSpec[] = [
  // onnxruntime registers its simplified form in the default domain as well as in its own.
  ...specs(
    ['LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization'],
    layerNormalization,
  ),
  ...specs(
    ['LayerNormalization', 'SimplifiedLayerNormalization'],
    layerNormalization,
    'com.microsoft',
  ),
  ...specs(
    ['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization'],
    skipNormalization,
    'com.microsoft',
  ),
  ...specs(
    ['InstanceNormalization', 'GroupNormalization', 'BatchNormalization', 'LRN'],
    channelNormalization,
  ),
  ...specs(['GroupNorm', 'SkipGroupNorm'], channelNormalization, 'com.microsoft'),
];
