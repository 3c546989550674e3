/** Ops that pick elements by indices. */
import { DATA_FORMAT, DATA_TYPE } from '../../../formats/mnn/enums.ts';
import { intAttribute } from '../../../ir/attributes.ts';
import type { Dim, Node } from '../../../ir/model.ts';
import type { TensorSource } from '../../../ir/tensor.ts';
import { numbersOf, positiveAxis } from '../../../ops/op-spec.ts';
import {
  emit,
  type IntegerTable,
  type Lowering,
  type LowerNode,
  refuseNode,
  shapeOf,
} from '../lowering.ts';
import { dimOf } from '../sizes.ts';
import { binary } from './elementwise.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

const gather: LowerNode = (lowering, node) => {
  const [data = '', indices = ''] = node.inputs;
  const shape = shapeOf(lowering, node, data);
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const dim = shape[axis];
  const integers = lowering.table(first(node));
  if (integers !== undefined) {
    gatherIntegers(lowering, node, integers);
    return;
  }
  const table = lowering.read(data);
  const picks = naturalIndices(lowering, { indices, dim, axis }, table);
  gatherAxis(lowering, table, picks, axis, first(node));
};

/** Rows of integers become floats, by one scale each or one for each block. */
function gatherIntegers(lowering: Lowering, node: Node, table: IntegerTable): void {
  const [, indices = ''] = node.inputs;
  const { tokens, width, blocks } = table;
  const output = first(node);
  const rank = shapeOf(lowering, node, indices).length;
  const rows = outsideConstant(lowering, `${output}_table`, [tokens, width], {
    dataType: DATA_TYPE.int8,
    source: table.values,
  });
  const scales = outsideConstant(lowering, `${output}_scales`, [tokens, blocks], {
    dataType: DATA_TYPE.float,
    source: table.scales,
  });
  const picks = naturalIndices(lowering, { indices, dim: tokens, axis: 0 }, rows);
  const picked = gatherAxis(lowering, rows, picks, 0);
  const floats = emit(lowering, 'Cast', [picked], lowering.fresh(`${output}_floats`), {
    kind: 'CastParam',
    value: { srcT: DATA_TYPE.int8, dstT: DATA_TYPE.float },
  });
  const factors = gatherAxis(lowering, scales, picks, 0);
  if (blocks === 1) {
    binary(lowering, 'mul', [floats, factors], output);
    return;
  }
  const copied = new Array<number>(rank).fill(0);
  const reshape = (tensor: string, dims: readonly number[], name: string): string =>
    emit(lowering, 'Reshape', [tensor], name, { kind: 'Reshape', value: { dims } });
  const fresh = (part: string): string => lowering.fresh(`${output}_${part}`);
  const inBlocks = reshape(floats, [...copied, blocks, width / blocks], fresh('blocks'));
  const wide = reshape(factors, [...copied, blocks, 1], fresh('factors'));
  const scaled = binary(lowering, 'mul', [inBlocks, wide]);
  reshape(scaled, [...copied, width], output);
}

/** Adds a constant whose bytes lie beside the graph. */
function outsideConstant(
  lowering: Lowering,
  name: string,
  dims: readonly number[],
  { dataType, source }: { readonly dataType: number; readonly source: TensorSource },
): string {
  const shared = { dims, dataFormat: DATA_FORMAT.NCHW, dataType };
  return lowering.add({
    type: 'Const',
    inputs: [],
    outputs: [lowering.fresh(name)],
    outside: {
      parts: [source],
      place: (external) => ({ kind: 'Blob', value: { ...shared, external } }),
    },
  });
}

/** Adds a gather by indices that are not negative. */
export function gatherAxis(
  lowering: Lowering,
  tensor: string,
  indices: string,
  axis: number,
  output: string = lowering.fresh(`${tensor}_rows`),
): string {
  return emit(lowering, 'GatherV2', [tensor, indices, lowering.ints([axis], [])], output, {
    kind: 'GatherV2',
    value: { Taxis: DATA_TYPE.int32, Tindices: DATA_TYPE.int32, Tparams: DATA_TYPE.float },
  });
}

/** MNN reads outside the table for a negative index, so what may be one gets the size added. */
function naturalIndices(
  lowering: Lowering,
  { indices, dim, axis }: { readonly indices: string; readonly dim: Dim; readonly axis: number },
  table: string,
): string {
  const { elements, shape = [] } = lowering.facts(indices);
  const known = numbersOf(lowering.facts(indices));
  if (known?.every((index) => index >= 0)) return lowering.read(indices);
  if (known !== undefined && typeof dim === 'number') {
    return lowering.ints(
      known.map((index) => positiveAxis(index, dim)),
      shape.map(Number),
    );
  }
  if (elements?.every((element) => element !== undefined && !String(element).includes('-'))) {
    return lowering.read(indices);
  }
  const read = lowering.read(indices);
  const size = typeof dim === 'number' ? lowering.ints([dim], [1]) : dimOf(lowering, table, axis);
  const rank = shape.length;
  const isNegative = binary(lowering, 'less', [read, lowering.ints([0], [])], undefined, 'int');
  // The size is a vector of one: beside a scalar it would make the index a vector.
  const scalar =
    rank === 0
      ? emit(lowering, 'Reshape', [size], lowering.fresh('size'), {
          kind: 'Reshape',
          value: { dims: [] },
        })
      : size;
  const added = binary(lowering, 'mul', [isNegative, scalar], undefined, 'int');
  return binary(lowering, 'add', [read, added], undefined, 'int');
}

const gatherElements: LowerNode = (lowering, node) => {
  const [data = '', indices = ''] = node.inputs;
  const shape = shapeOf(lowering, node, data);
  const axis = positiveAxis(intAttribute(node, 'axis', 0), shape.length);
  const known = numbersOf(lowering.facts(indices));
  if (!known?.every((index) => index >= 0)) {
    refuseNode(node, 'indices that may be negative', 'Export the model without it.');
  }
  const inputs = [lowering.read(data), lowering.read(indices), lowering.ints([axis], [])];
  emit(lowering, 'GatherElements', inputs, first(node));
};

const gatherNd: LowerNode = (lowering, node) => {
  const [data = '', indices = ''] = node.inputs;
  if (intAttribute(node, 'batch_dims', 0) !== 0) {
    refuseNode(node, 'batch dims', 'Export the model without it.');
  }
  emit(lowering, 'GatherND', [lowering.read(data), lowering.read(indices)], first(node));
};

/** Picking rows by op type. */
export const GATHER: Readonly<Record<string, LowerNode>> = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherNd,
};
