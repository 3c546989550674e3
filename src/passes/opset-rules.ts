import { UnsupportedError } from '../errors.ts';
import { attributes, intsAttribute, stringAttribute } from '../ir/attributes.ts';
import {
  adapted,
  labelOf,
  type OpsetRule,
  type RaiseSite,
  withDefaults,
  withListInput,
} from './opset-rule.ts';

/** Modes of GridSample as opset 20 calls them. */
const GRID_MODES: ReadonlyMap<string, string> = new Map([
  ['bilinear', 'linear'],
  ['bicubic', 'cubic'],
]);

/**
 * What changed incompatibly from opset 14 to 21, oldest first: BatchNormalization in training (14, refused),
 * the default of RoiAlign (16), axes of reductions and Split without sizes (18), names of GridSample's
 * modes (20), DFT (axis as input, 20, refused) and GroupNormalization (scale per channel, 21, refused).
 */
export const LATER_OPSET_RULES: readonly OpsetRule[] = [
  {
    opset: 14,
    opTypes: ['BatchNormalization'],
    reads: [],
    adapt(node, { to }) {
      if (node.outputs.length <= 1) return adapted(node);
      throw new UnsupportedError(
        `${labelOf(node)}: BatchNormalization in training form has no equal in opset ${to}. ` +
          'Export the model for inference.',
      );
    },
  },
  {
    opset: 16,
    opTypes: ['RoiAlign'],
    reads: [],
    adapt: (node) =>
      adapted(withDefaults(node, { coordinate_transformation_mode: 'output_half_pixel' })),
  },
  {
    opset: 18,
    opTypes: ['Split'],
    reads: [],
    adapt(node) {
      if ((node.inputs[1] ?? '') !== '') return adapted(node);
      return adapted(withDefaults(node, { num_outputs: BigInt(node.outputs.length) }));
    },
  },
  {
    opset: 18,
    // ReduceSum had its axes as an input before.
    opTypes: [
      'ReduceL1',
      'ReduceL2',
      'ReduceLogSum',
      'ReduceLogSumExp',
      'ReduceMax',
      'ReduceMean',
      'ReduceMin',
      'ReduceProd',
      'ReduceSumSquare',
    ],
    reads: ['axes'],
    adapt(node, site) {
      const axes = intsAttribute(node, 'axes');
      return axes === undefined ? adapted(node) : withListInput(node, 'axes', axes, site);
    },
  },
  {
    opset: 20,
    opTypes: ['GridSample'],
    reads: ['mode'],
    adapt(node) {
      const renamed = GRID_MODES.get(stringAttribute(node, 'mode') ?? '');
      if (renamed === undefined) return adapted(node);
      const mode = attributes({ mode: renamed });
      return adapted({ ...node, attributes: new Map([...node.attributes, ...mode]) });
    },
  },
  { opset: 20, opTypes: ['DFT'], reads: [], adapt: (node, site) => refuse(node, 20, site) },
  {
    opset: 21,
    opTypes: ['GroupNormalization'],
    reads: [],
    adapt: (node, site) => refuse(node, 21, site),
  },
];

function refuse(node: Parameters<typeof labelOf>[0], opset: number, { to }: RaiseSite): never {
  throw new UnsupportedError(
    `${labelOf(node)}: ${node.opType} means something else from opset ${opset} on, so the model ` +
      `cannot be raised to opset ${to}. Export it again with that opset.`,
  );
}
