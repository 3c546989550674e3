import { UnsupportedError } from '../errors.ts';
import { attributes, intAttribute, intsAttribute, stringAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import {
  type Adapted,
  adapted,
  labelOf,
  type OpsetRule,
  type RaiseSite,
  withDefaults,
  withListInput,
  withoutAttribute,
} from './opset-rule.ts';

/** First opset in which a zero in the new shape of a Reshape can mean a size of zero. */
const ALLOW_ZERO_OPSET = 14;

/**
 * What changed incompatibly with opsets 12 and 13: Dropout (the ratio is no attribute, the mask is all true, 12),
 * axes of Squeeze, Unsqueeze and ReduceSum and sizes of Split (inputs, 13), Softmax, LogSoftmax and
 * Hardmax (along one axis, 13), Resize without `tf_half_pixel_for_nn` (13).
 */
export const OPSET_13_RULES: readonly OpsetRule[] = [
  { opset: 12, opTypes: ['Dropout'], reads: [], adapt: adaptDropout },
  {
    opset: 13,
    opTypes: ['Squeeze', 'Unsqueeze', 'ReduceSum'],
    reads: ['axes'],
    adapt: (node, site) => withList(node, 'axes', site),
  },
  {
    opset: 13,
    opTypes: ['Split'],
    reads: ['split'],
    adapt: (node, site) => withList(node, 'split', site),
  },
  {
    opset: 13,
    opTypes: ['Softmax', 'LogSoftmax', 'Hardmax'],
    reads: ['axis'],
    adapt: adaptSoftmax,
  },
  {
    opset: 13,
    opTypes: ['Resize'],
    reads: ['coordinate_transformation_mode'],
    adapt(node, { to }) {
      const mode = stringAttribute(node, 'coordinate_transformation_mode');
      if (mode !== 'tf_half_pixel_for_nn') return adapted(node);
      throw new UnsupportedError(
        `${labelOf(node)}: Resize by ${mode} has no equal in opset ${to}. Export the model again with opset 13.`,
      );
    },
  },
];

/** Only inference is meant: without `training_mode` Dropout hands its input on, as it did before. */
function adaptDropout(node: Node, { to, isRead }: RaiseSite): Adapted {
  const [output = '', mask = ''] = node.outputs;
  if (mask !== '' && isRead(mask)) {
    throw new UnsupportedError(
      `${labelOf(node)}: Dropout whose mask is read means something else in opset ${to}. ` +
        'Export the model for inference.',
    );
  }
  return adapted({ ...withoutAttribute(node, 'ratio'), outputs: [output] });
}

function withList(node: Node, attribute: string, site: RaiseSite): Adapted {
  const values = intsAttribute(node, attribute);
  return values === undefined ? adapted(node) : withListInput(node, attribute, values, site);
}

/**
 * Before opset 13 the axes from `axis` (1 when absent) on were taken as one. That is the new meaning where
 * `axis` is the last; else the value is made a matrix and back.
 */
function adaptSoftmax(node: Node, site: RaiseSite): Adapted {
  const [input = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const axis = intAttribute(node, 'axis', 1);
  const rank = site.rankOf(input);
  if (axis === -1 || (rank !== undefined && axis === rank - 1)) {
    return adapted(withDefaults(node, { axis: BigInt(axis) }));
  }
  const [matrix, shape, result] = ['matrix', 'shape', 'rows'].map((part) =>
    site.makeName(`${output}_${part}`),
  ) as [string, string, string];
  const named = (opType: string, inputs: readonly string[], made: string): Node => ({
    name: site.makeName(`${labelOf(node)}_${opType}`),
    opType,
    domain: '',
    inputs,
    outputs: [made],
    attributes: new Map(),
  });
  const lastAxis = attributes({ axis: -1n });
  const allowZero = site.to >= ALLOW_ZERO_OPSET ? attributes({ allowzero: 1n }) : new Map();
  return adapted(
    named('Shape', [input], shape),
    { ...named('Flatten', [input], matrix), attributes: attributes({ axis: BigInt(axis) }) },
    {
      ...node,
      inputs: [matrix],
      outputs: [result],
      attributes: new Map([...node.attributes, ...lastAxis]),
    },
    { ...named('Reshape', [result, shape], output), attributes: allowZero },
  );
}
