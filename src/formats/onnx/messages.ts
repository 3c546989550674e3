/**
 * Decoded protobuf messages, field for field as in `schema.ts`. They live only inside this
 * folder.
 */

/** An int64 as protobufjs holds it. */
export interface Int64 {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

/** Any message: fields that the schema does not know, each with its tag. */
export interface Message {
  readonly $unknowns?: readonly Uint8Array[] | undefined;
}

/** StringStringEntryProto: metadata, or one property of external data. */
export interface EntryMessage extends Message {
  readonly key?: string | undefined;
  readonly value?: string | undefined;
}

/** Messages that carry documentation and metadata. */
export interface DocumentedMessage extends Message {
  readonly docString?: string | undefined;
  readonly metadataProps?: readonly EntryMessage[] | undefined;
}

/** PayloadMark, our own: a payload that stays where it lies. */
export interface PayloadMarkMessage extends Message {
  /** Number of the TensorProto field that was cut out. */
  readonly field: number;
  /** When read: offset in the file. When written: index in the list of sources. */
  readonly position: number;
  readonly byteLength: number;
}

/** TensorProto: type, dims, and the elements in one of six fields, outside the file, or marked. */
export interface TensorMessage extends DocumentedMessage {
  readonly dims?: readonly Int64[] | undefined;
  readonly dataType?: number | undefined;
  readonly floatData?: readonly number[] | undefined;
  readonly int32Data?: readonly number[] | undefined;
  readonly stringData?: readonly Uint8Array[] | undefined;
  readonly int64Data?: readonly Int64[] | undefined;
  readonly name?: string | undefined;
  readonly rawData?: Uint8Array | undefined;
  readonly doubleData?: readonly number[] | undefined;
  readonly uint64Data?: readonly Int64[] | undefined;
  readonly externalData?: readonly EntryMessage[] | undefined;
  readonly dataLocation?: number | undefined;
  readonly payload?: readonly PayloadMarkMessage[] | undefined;
}

/** SparseTensorProto: a tensor in coordinate form. */
export interface SparseTensorMessage extends Message {
  readonly values?: TensorMessage | undefined;
  readonly indices?: TensorMessage | undefined;
  readonly dims?: readonly Int64[] | undefined;
}

/** TensorShapeProto.Dimension: a size, a symbol, or neither. */
export interface DimensionMessage extends Message {
  readonly dimValue?: Int64 | undefined;
  readonly dimParam?: string | undefined;
  readonly denotation?: string | undefined;
}

interface ShapeMessage extends Message {
  readonly dim?: readonly DimensionMessage[] | undefined;
}

/** TypeProto.Tensor and TypeProto.SparseTensor. */
export interface TensorTypeMessage extends Message {
  readonly elemType?: number | undefined;
  readonly shape?: ShapeMessage | undefined;
}

/** TypeProto.Sequence and TypeProto.Optional. */
export interface ContainerTypeMessage extends Message {
  readonly elemType?: TypeMessage | undefined;
}

/** TypeProto: at most one of its kinds is set. */
export interface TypeMessage extends Message {
  readonly tensorType?: TensorTypeMessage | undefined;
  readonly sequenceType?: ContainerTypeMessage | undefined;
  readonly denotation?: string | undefined;
  readonly sparseTensorType?: TensorTypeMessage | undefined;
  readonly optionalType?: ContainerTypeMessage | undefined;
}

/** ValueInfoProto: the name and type of a value. */
export interface ValueInfoMessage extends DocumentedMessage {
  readonly name?: string | undefined;
  readonly type?: TypeMessage | undefined;
}

/** AttributeProto: `type` says which of the value fields counts. */
export interface AttributeMessage extends Message {
  readonly name?: string | undefined;
  readonly f?: number | undefined;
  readonly i?: Int64 | undefined;
  readonly s?: Uint8Array | undefined;
  readonly t?: TensorMessage | undefined;
  readonly g?: GraphMessage | undefined;
  readonly floats?: readonly number[] | undefined;
  readonly ints?: readonly Int64[] | undefined;
  readonly strings?: readonly Uint8Array[] | undefined;
  readonly tensors?: readonly TensorMessage[] | undefined;
  readonly graphs?: readonly GraphMessage[] | undefined;
  readonly docString?: string | undefined;
  readonly tp?: TypeMessage | undefined;
  readonly typeProtos?: readonly TypeMessage[] | undefined;
  readonly type?: number | undefined;
  readonly refAttrName?: string | undefined;
  readonly sparseTensor?: SparseTensorMessage | undefined;
  readonly sparseTensors?: readonly SparseTensorMessage[] | undefined;
}

/** NodeProto: one operation. */
export interface NodeMessage extends DocumentedMessage {
  readonly input?: readonly string[] | undefined;
  readonly output?: readonly string[] | undefined;
  readonly name?: string | undefined;
  readonly opType?: string | undefined;
  readonly attribute?: readonly AttributeMessage[] | undefined;
  readonly domain?: string | undefined;
  readonly overload?: string | undefined;
}

/** GraphProto: nodes, constants, inputs and outputs. */
export interface GraphMessage extends DocumentedMessage {
  readonly node?: readonly NodeMessage[] | undefined;
  readonly name?: string | undefined;
  readonly initializer?: readonly TensorMessage[] | undefined;
  readonly input?: readonly ValueInfoMessage[] | undefined;
  readonly output?: readonly ValueInfoMessage[] | undefined;
  readonly valueInfo?: readonly ValueInfoMessage[] | undefined;
  readonly sparseInitializer?: readonly SparseTensorMessage[] | undefined;
}

/** OperatorSetIdProto: an imported operator set. */
export interface OperatorSetIdMessage extends Message {
  readonly domain?: string | undefined;
  readonly version?: Int64 | undefined;
}

/** FunctionProto: a function that the model defines. */
export interface FunctionMessage extends DocumentedMessage {
  readonly name?: string | undefined;
  readonly input?: readonly string[] | undefined;
  readonly output?: readonly string[] | undefined;
  readonly attribute?: readonly string[] | undefined;
  readonly node?: readonly NodeMessage[] | undefined;
  readonly opsetImport?: readonly OperatorSetIdMessage[] | undefined;
  readonly domain?: string | undefined;
  readonly attributeProto?: readonly AttributeMessage[] | undefined;
  readonly valueInfo?: readonly ValueInfoMessage[] | undefined;
  readonly overload?: string | undefined;
}

/** ModelProto: the whole file. */
export interface ModelMessage extends DocumentedMessage {
  readonly irVersion?: Int64 | undefined;
  readonly producerName?: string | undefined;
  readonly producerVersion?: string | undefined;
  readonly domain?: string | undefined;
  readonly modelVersion?: Int64 | undefined;
  readonly graph?: GraphMessage | undefined;
  readonly opsetImport?: readonly OperatorSetIdMessage[] | undefined;
  readonly functions?: readonly FunctionMessage[] | undefined;
}

/** Returns the exact value of an int64 field. */
export function bigintFromInt64({ low, high, unsigned }: Int64): bigint {
  const bits = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  return unsigned ? bits : BigInt.asIntN(64, bits);
}

/** Returns an int64 field; the value wraps at 64 bits. */
export function int64FromBigint(value: bigint): Int64 {
  const bits = BigInt.asUintN(64, value);
  return { low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0, unsigned: false };
}
