/** Ops that make tensors from attributes or sizes. */
import { floatAttribute, intAttribute, intsAttribute, tensorAttribute } from '../ir/attributes.ts';
import { dataTypeFromCode } from '../ir/data-type.ts';
import type { Node } from '../ir/model.ts';
import { subtractDims } from './dim.ts';
import {
  evaluated,
  type Facts,
  MAX_ELEMENTS,
  numbersOf,
  type OpSpec,
  scalarOf,
  specs,
  UNKNOWN,
} from './op-spec.ts';
import { roundToType } from './round-to-type.ts';
import { tensorElements, tensorFacts } from './tensor-elements.ts';

const constant: OpSpec['infer'] = (node) => {
  const tensor = tensorAttribute(node, 'value');
  if (tensor !== undefined) return [tensorFacts(tensor)];
  const int = intAttribute(node, 'value_int');
  if (int !== undefined) return [evaluated('int64', [], [int])];
  const float = floatAttribute(node, 'value_float');
  if (float !== undefined) return [evaluated('float32', [], [float])];
  const ints = intsAttribute(node, 'value_ints');
  if (ints !== undefined) return [evaluated('int64', [ints.length], ints)];
  const floats = node.attributes.get('value_floats');
  if (floats?.kind === 'floats') {
    return [evaluated('float32', [floats.value.length], floats.value)];
  }
  return [UNKNOWN];
};

const constantOfShape: OpSpec['infer'] = (node, [sizes = UNKNOWN]) => {
  const value = tensorAttribute(node, 'value');
  const dataType = value?.dataType ?? 'float32';
  const [rank] = sizes.shape ?? [];
  const open = typeof rank === 'number' ? new Array<undefined>(rank).fill(undefined) : undefined;
  const shape = sizes.elements ?? open;
  const counts = numbersOf(sizes);
  const count = counts?.reduce((product, dim) => product * dim, 1);
  const fill = value === undefined ? 0 : tensorElements(value)?.[0];
  if (count === undefined || count > MAX_ELEMENTS || fill === undefined) {
    return [{ dataType, shape }];
  }
  return [evaluated(dataType, shape, new Array<number>(count).fill(fill))];
};

const range: OpSpec['infer'] = (_node, [start = UNKNOWN, limit = UNKNOWN, delta = UNKNOWN]) => {
  const dataType = start.dataType ?? limit.dataType;
  const [from, to, step] = [scalarOf(start), scalarOf(limit), scalarOf(delta)];
  if (from === undefined || to === undefined || step === undefined || step === 0) {
    const symbolic = from === 0 && step === 1 ? subtractDims(limit.elements?.[0], 0) : undefined;
    return [{ dataType, shape: [symbolic] }];
  }
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (count > MAX_ELEMENTS) return [{ dataType, shape: [count] }];
  const elements = Array.from({ length: count }, (_, at) =>
    roundToType(dataType, from + at * step),
  );
  return [evaluated(dataType, [count], elements)];
};

const random: OpSpec['infer'] = (node, [like = UNKNOWN]) => {
  const code = intAttribute(node, 'dtype');
  const dataType = code === undefined ? (like.dataType ?? 'float32') : dataTypeFromCode(code);
  const shape = intsAttribute(node, 'shape') ?? like.shape;
  return [{ dataType, shape }];
};

/** `EyeLike` keeps the shape; the type is the attribute's or the input's. */
function typedLike(node: Node, input: Facts): Facts {
  const code = intAttribute(node, 'dtype');
  return {
    dataType: code === undefined ? input.dataType : dataTypeFromCode(code),
    shape: input.shape,
  };
}

/** Generating operators. */
export const GENERATE: readonly OpSpec[] = [
  { opType: 'Constant', domain: '', infer: constant },
  { opType: 'ConstantOfShape', domain: '', infer: constantOfShape },
  { opType: 'Range', domain: '', infer: range },
  ...specs(['RandomNormal', 'RandomUniform', 'RandomNormalLike', 'RandomUniformLike'], random),
  ...specs(['EyeLike'], (node, [input = UNKNOWN]) => [typedLike(node, input)]),
];
