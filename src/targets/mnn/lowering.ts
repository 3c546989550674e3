import { UnsupportedError } from '../../errors.ts';
import { DATA_FORMAT, DATA_TYPE, type OpTypeName } from '../../formats/mnn/enums.ts';
import type { Main } from '../../formats/mnn/schema.ts';
import type { DataType } from '../../ir/data-type.ts';
import type { Dim, Node } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { elementCount, type Tensor, type TensorSource } from '../../ir/tensor.ts';
import { type Facts, numbersOf } from '../../ops/op-spec.ts';
import type { Finding } from '../finding.ts';
import type { DraftOp, OutsideWeights } from './draft.ts';
import { float16Source, float32Source, int32Source, requireInt32 } from './weight-sources.ts';

/** Constants above this many bytes lie in the file of weights. */
const MAX_INSIDE_BYTES = 4096;
/** MNN has no tensors of more axes. */
const MAX_RANK = 9;

/** How float weights are stored. The runtime computes in float32 with both. */
export type FloatStorage = 'float32' | 'float16';

/** What runs through MNN's graphs: there are no other element types at run time. */
export type Kind = 'float' | 'int';

/** A token table as integers: `row = q * scale` by token or block of features. */
export interface IntegerTable {
  readonly tokens: number;
  readonly width: number;
  /** int8 [tokens, width]. */
  readonly values: TensorSource;
  /** float32 [tokens, blocks]. */
  readonly scales: TensorSource;
  readonly blocks: number;
}

/** A graph under construction, and what the rows of the op tables may ask and add. */
export interface Lowering {
  readonly floats: FloatStorage;
  readonly opset: number;
  /** Facts of a value of the ONNX graph. */
  facts(value: string): Facts;
  /** The constant behind a value of the ONNX graph, if it is one. */
  constant(value: string): Tensor | undefined;
  /** The tensor that holds a value of the ONNX graph; constants become ops when they are first read. */
  read(value: string): string;
  /** Says that a value of the ONNX graph is what another tensor holds. */
  alias(value: string, tensor: string): void;
  /** Adds an op and returns its first output. */
  add(op: DraftOp): string;
  /** Returns a free name for a tensor. */
  fresh(wanted: string): string;
  /** Returns a constant tensor; equal ones are one. */
  ints(values: readonly number[], dims?: readonly number[]): string;
  floatsOf(values: readonly number[], dims?: readonly number[]): string;
  /** Graph inputs by the symbols of their axes, for sizes that only a run knows. */
  readonly symbols: ReadonlyMap<string, { readonly input: string; readonly axis: number }>;
  /** What was converted already, by a name that its maker chose. */
  readonly made: Map<string, string>;
  /** The integers of the table that a Gather reads, by the value it makes; undefined for float ones. */
  table(output: string): IntegerTable | undefined;
  report(finding: Finding): void;
}

/** Lowers nodes of one kind. */
export type LowerNode = (lowering: Lowering, node: Node) => void;

/** Throws {@link UnsupportedError} that names the node, its op and what to do. */
export function refuseNode(node: Node, reason: string, advice: string): never {
  const domain = node.domain === '' ? '' : `${node.domain}.`;
  throw new UnsupportedError(
    `node ${nodeLabel(node)}: MNN has no form for this ${domain}${node.opType} (${reason}). ${advice}`,
  );
}

/** What to do where nothing else helps. */
export const OTHER_TARGET = 'Use --target onnx, or export the model without it.';

/** Returns whether values of a type are floats or integers in MNN. Throws {@link UnsupportedError} naming `where`. */
export function kindOf(dataType: DataType | undefined, where: string): Kind {
  switch (dataType) {
    case 'float32':
    case 'float16':
    case 'bfloat16':
    case 'float64':
      return 'float';
    case 'int64':
    case 'int32':
    case 'bool':
      return 'int';
    default:
      throw new UnsupportedError(
        `${where}: MNN computes in float32 and int32 alone (got ${dataType ?? 'an unknown type'}). ` +
          'Export a float model and let autoglm quantize it.',
      );
  }
}

/** Returns the kind of a value. */
export function kindOfValue({ facts }: Lowering, value: string): Kind {
  return kindOf(facts(value).dataType, `value ${value}`);
}

/** Returns the shape of a value. Throws {@link UnsupportedError} naming the node when its rank is unknown or past 9. */
export function shapeOf({ facts }: Lowering, node: Node, value: string): readonly Dim[] {
  const { shape } = facts(value);
  if (shape === undefined) {
    refuseNode(node, `the rank of ${value} is not known`, 'Export the model with shapes.');
  }
  if (shape.length > MAX_RANK) {
    refuseNode(node, `${value} has ${shape.length} axes, MNN has ${MAX_RANK}`, OTHER_TARGET);
  }
  return shape;
}

/** Returns known integers of an input. Throws {@link UnsupportedError} when only a run knows them. */
export function intsOf(
  { facts }: Lowering,
  node: Node,
  value: string,
  what: string,
): readonly number[] {
  const numbers = numbersOf(facts(value));
  if (numbers !== undefined) return numbers;
  return refuseNode(
    node,
    `${what} is computed in each run`,
    'Export the model with it as a constant.',
  );
}

/** Adds an op with one output and returns it: that of `node` where it is given as a node, else a fresh name. */
export function emit(
  lowering: Lowering,
  type: OpTypeName,
  inputs: readonly string[],
  output: string,
  main?: Main,
): string {
  return lowering.add({ type, inputs, outputs: [output], ...(main !== undefined && { main }) });
}

/** Returns the op of a constant of the ONNX graph: small ones inside the graph, others beside it. */
export function constantOp(tensor: Tensor, output: string, floats: FloatStorage): DraftOp {
  const kind = kindOf(integerAsInt(tensor.dataType), `constant ${tensor.name}`);
  const dims = [...tensor.dims];
  const shared = { dims, dataFormat: DATA_FORMAT.NCHW };
  const base = { type: 'Const', inputs: [], outputs: [output] } as const;
  if (kind === 'float' && floats === 'float16' && isHalf(tensor)) {
    // Halves cannot lie beside the graph: the loader wants them inside.
    const value = { ...shared, dataType: DATA_TYPE.half, uint8s: float16Source(tensor) };
    return { ...base, main: { kind: 'Blob', value } };
  }
  const source = kind === 'float' ? float32Source(tensor) : int32Source(tensor);
  const dataType = kind === 'float' ? DATA_TYPE.float : DATA_TYPE.int32;
  const { bytes } = tensor.source;
  const isInside =
    kind === 'float'
      ? source.byteLength <= MAX_INSIDE_BYTES
      : bytes !== undefined && isPlain(tensor);
  if (!isInside) {
    const outside: OutsideWeights = {
      parts: [source],
      place: (external) => ({ kind: 'Blob', value: { ...shared, dataType, external } }),
    };
    return { ...base, outside };
  }
  const value =
    kind === 'float'
      ? { ...shared, dataType, float32s: source }
      : { ...shared, dataType, int32s: smallIntegers(tensor) };
  return { ...base, main: { kind: 'Blob', value } };
}

/** Constants of small integers are tables of indices. */
function integerAsInt(dataType: DataType): DataType {
  return ['int8', 'uint8', 'int16', 'uint16', 'uint32', 'uint64'].includes(dataType)
    ? 'int32'
    : dataType;
}

function isHalf({ dataType, dims }: Tensor): boolean {
  return dataType === 'float16' && dims.length > 1 && 2 * elementCount(dims) > MAX_INSIDE_BYTES;
}

function isPlain({ dataType }: Tensor): boolean {
  return dataType === 'int64' || dataType === 'int32' || dataType === 'bool';
}

function smallIntegers(tensor: Tensor): readonly number[] {
  const { bytes = new Uint8Array(0) } = tensor.source;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (index: number): number => {
    if (tensor.dataType === 'int64') return Number(view.getBigInt64(8 * index, true));
    return tensor.dataType === 'int32' ? view.getInt32(4 * index, true) : view.getUint8(index);
  };
  return Array.from({ length: elementCount(tensor.dims) }, (_, index) =>
    requireInt32(read(index), `constant ${tensor.name}`),
  );
}
