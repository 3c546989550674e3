/** Rotary position embedding as single ops. */
import { intAttribute } from '../../../ir/attributes.ts';
import { type Lowering, type LowerNode, OTHER_TARGET, refuseNode, shapeOf } from '../lowering.ts';
import { joinHeads, reshapeTo, splitHeads, unsqueeze } from './attention-core.ts';
import { binary } from './elementwise.ts';
import { gatherAxis } from './gather.ts';
import { concat, slice, sliceAxis } from './rearrange.ts';

/** How channels of a head are paired. */
export interface Rotation {
  /** Cosines and sines of each pair, broadcasting against [B, heads, S, rotated / 2]. */
  readonly cos: string;
  readonly sin: string;
  readonly width: number;
  /** Channels from the first that rotate. */
  readonly rotated: number;
  /** Neighbours are a pair, else channel i and i + rotated / 2. */
  readonly isInterleaved: boolean;
}

/** Adds the rotation of [B, heads, S, width]. */
export function rotate(lowering: Lowering, tensor: string, heads: number, how: Rotation): string {
  const { cos, sin, width, rotated, isInterleaved } = how;
  const half = rotated / 2;
  const every = (start: number): string => {
    const vector = (value: number): string => lowering.ints([value]);
    return slice(lowering, tensor, [vector(start), vector(rotated), vector(3), vector(2)]);
  };
  const [a, b] = isInterleaved
    ? [every(0), every(1)]
    : [sliceAxis(lowering, tensor, 3, [0, half]), sliceAxis(lowering, tensor, 3, [half, rotated])];
  const times = (x: string, y: string): string => binary(lowering, 'mul', [x, y]);
  const left = binary(lowering, 'sub', [times(a, cos), times(b, sin)]);
  const right = binary(lowering, 'add', [times(b, cos), times(a, sin)]);
  const turned = isInterleaved
    ? reshapeTo(
        lowering,
        concat(lowering, [unsqueeze(lowering, left, [4]), unsqueeze(lowering, right, [4])], 4),
        [0, heads, -1, rotated],
      )
    : undefined;
  const rest = rotated < width ? [sliceAxis(lowering, tensor, 3, [rotated, width])] : [];
  if (turned !== undefined)
    return rest.length === 0 ? turned : concat(lowering, [turned, ...rest], 3);
  return concat(lowering, [left, right, ...rest], 3);
}

/** RotaryEmbedding of onnxruntime and of opset 23, which order their inputs differently. */
const rotaryEmbedding: LowerNode = (lowering, node) => {
  const isContrib = node.domain === 'com.microsoft';
  const [input = '', ...others] = node.inputs;
  const [cosName = '', sinName = '', positionName = ''] = isContrib
    ? [others[1], others[2], others[0]]
    : others;
  const shape = shapeOf(lowering, node, input);
  const cosShape = shapeOf(lowering, node, cosName);
  const stated = intAttribute(node, 'num_heads', 0);
  const half = cosShape.at(-1);
  const heads = shape.length === 4 ? shape[1] : stated;
  const features = shape.at(-1);
  if (
    typeof half !== 'number' ||
    typeof heads !== 'number' ||
    typeof features !== 'number' ||
    heads < 1
  ) {
    return refuseNode(node, 'its heads are not known', 'State num_heads in the model.');
  }
  if (intAttribute(node, 'scale', 1) !== 1 || intAttribute(node, 'is_packed_batching', 0) === 1) {
    refuseNode(node, 'packed batches or scaled positions', OTHER_TARGET);
  }
  const width = shape.length === 4 ? features : features / heads;
  const read = lowering.read(input);
  const split = shape.length === 4 ? read : splitHeads(lowering, read, heads, width);
  const [cos, sin] = [cosName, sinName].map((name) =>
    angles(lowering, name, positionName, cosShape.length),
  );
  const how = { cos: cos ?? '', sin: sin ?? '', width, rotated: 2 * half };
  const isInterleaved = intAttribute(node, 'interleaved', 0) === 1;
  const turned = rotate(lowering, split, heads, { ...how, isInterleaved });
  const [output = ''] = node.outputs;
  if (shape.length === 4) lowering.alias(output, turned);
  else joinHeads(lowering, turned, features, output);
};

/** Rows of a cache by positions, or the rows themselves, with an axis for the heads: [B, 1, S, half]. */
function angles(lowering: Lowering, name: string, positions: string, rank: number): string {
  const table = lowering.read(name);
  const rows =
    positions === '' || rank === 3
      ? table
      : gatherAxis(lowering, table, lowering.read(positions), 0);
  return unsqueeze(lowering, rows, [1]);
}

/** Rows of rotary embeddings by op type. */
export const ROTARY: Readonly<Record<string, LowerNode>> = {
  RotaryEmbedding: rotaryEmbedding,
  'com.microsoft.RotaryEmbedding': rotaryEmbedding,
};
