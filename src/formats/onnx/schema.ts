import protobuf from 'protobufjs/light.js';

/**
 * The part of onnx-ml.proto (ONNX 1.20, IR version 13) that autoglm understands, as `name:
 * 'number [repeated|packed] type'`. What is missing here (training_info, configuration,
 * device_configurations, quantization_annotation, segment, map and opaque types) and what newer
 * versions add is carried as unknown fields, byte for byte.
 */
const FIELDS = {
  ModelProto: {
    irVersion: '1 int64',
    producerName: '2 string',
    producerVersion: '3 string',
    domain: '4 string',
    modelVersion: '5 int64',
    docString: '6 string',
    graph: '7 GraphProto',
    opsetImport: '8 repeated OperatorSetIdProto',
    metadataProps: '14 repeated StringStringEntryProto',
    functions: '25 repeated FunctionProto',
  },
  GraphProto: {
    node: '1 repeated NodeProto',
    name: '2 string',
    initializer: '5 repeated TensorProto',
    docString: '10 string',
    input: '11 repeated ValueInfoProto',
    output: '12 repeated ValueInfoProto',
    valueInfo: '13 repeated ValueInfoProto',
    sparseInitializer: '15 repeated SparseTensorProto',
    metadataProps: '16 repeated StringStringEntryProto',
  },
  NodeProto: {
    input: '1 repeated string',
    output: '2 repeated string',
    name: '3 string',
    opType: '4 string',
    attribute: '5 repeated AttributeProto',
    docString: '6 string',
    domain: '7 string',
    overload: '8 string',
    metadataProps: '9 repeated StringStringEntryProto',
  },
  AttributeProto: {
    name: '1 string',
    f: '2 float',
    i: '3 int64',
    s: '4 bytes',
    t: '5 TensorProto',
    g: '6 GraphProto',
    floats: '7 repeated float',
    ints: '8 repeated int64',
    strings: '9 repeated bytes',
    tensors: '10 repeated TensorProto',
    graphs: '11 repeated GraphProto',
    docString: '13 string',
    tp: '14 TypeProto',
    typeProtos: '15 repeated TypeProto',
    type: '20 int32',
    refAttrName: '21 string',
    sparseTensor: '22 SparseTensorProto',
    sparseTensors: '23 repeated SparseTensorProto',
  },
  TensorProto: {
    dims: '1 repeated int64',
    dataType: '2 int32',
    floatData: '4 packed float',
    int32Data: '5 packed int32',
    stringData: '6 repeated bytes',
    int64Data: '7 packed int64',
    name: '8 string',
    rawData: '9 bytes',
    doubleData: '10 packed double',
    uint64Data: '11 packed uint64',
    docString: '12 string',
    externalData: '13 repeated StringStringEntryProto',
    dataLocation: '14 int32',
    metadataProps: '16 repeated StringStringEntryProto',
    payload: '19000 repeated PayloadMark',
  },
  /** Ours, only between file and record: stands for a payload field that was left where it lies. */
  PayloadMark: { field: '1 uint32', position: '2 double', byteLength: '3 double' },
  SparseTensorProto: {
    values: '1 TensorProto',
    indices: '2 TensorProto',
    dims: '3 repeated int64',
  },
  ValueInfoProto: {
    name: '1 string',
    type: '2 TypeProto',
    docString: '3 string',
    metadataProps: '4 repeated StringStringEntryProto',
  },
  TypeProto: {
    tensorType: '1 TensorTypeProto',
    sequenceType: '4 ContainerTypeProto',
    denotation: '6 string',
    sparseTensorType: '8 TensorTypeProto',
    optionalType: '9 ContainerTypeProto',
  },
  TensorTypeProto: { elemType: '1 int32', shape: '2 TensorShapeProto' },
  ContainerTypeProto: { elemType: '1 TypeProto' },
  TensorShapeProto: { dim: '1 repeated DimensionProto' },
  DimensionProto: { dimValue: '1 int64', dimParam: '2 string', denotation: '3 string' },
  OperatorSetIdProto: { domain: '1 string', version: '2 int64' },
  FunctionProto: {
    name: '1 string',
    input: '4 repeated string',
    output: '5 repeated string',
    attribute: '6 repeated string',
    node: '7 repeated NodeProto',
    docString: '8 string',
    opsetImport: '9 repeated OperatorSetIdProto',
    domain: '10 string',
    attributeProto: '11 repeated AttributeProto',
    valueInfo: '12 repeated ValueInfoProto',
    overload: '13 string',
    metadataProps: '14 repeated StringStringEntryProto',
  },
  StringStringEntryProto: { key: '1 string', value: '2 string' },
} as const;

/** Name of a message of the schema. */
export type MessageName = keyof typeof FIELDS;

/** One field of a message, as the walkers of the wire format need it. */
export interface FieldShape {
  readonly id: number;
  readonly name: string;
  /** A protobuf scalar or the name of a message. */
  readonly type: string;
  readonly repeated: boolean;
  readonly message: MessageName | undefined;
}

/** Fields of every message by number. */
export const MESSAGE_FIELDS: ReadonlyMap<MessageName, ReadonlyMap<number, FieldShape>> = new Map(
  (Object.keys(FIELDS) as MessageName[]).map((message) => [
    message,
    new Map(
      Object.entries(FIELDS[message]).map(([name, text]) => {
        const { id, type, rule } = parseField(text);
        const inner = type in FIELDS ? (type as MessageName) : undefined;
        return [id, { id, name, type, repeated: rule !== undefined, message: inner }];
      }),
    ),
  ]),
);

/** Number of the raw bytes among the fields of TensorProto. */
export const RAW_DATA_FIELD = 9;

/**
 * Number of the field that stands for payloads. Protobuf reserves 19000 to 19999, so no file may
 * use it.
 */
export const PAYLOAD_MARK_FIELD = 19000;

/** Fields of TensorProto that hold numbers and may be large. */
export const PAYLOAD_FIELDS: ReadonlySet<number> = new Set([4, 5, 7, RAW_DATA_FIELD, 10, 11]);

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(FIELDS).map(([message, fields]) => [
      message,
      {
        // proto2: absent and empty differ, and lists are packed only where the schema says so.
        edition: 'proto2',
        fields: Object.fromEntries(
          Object.entries(fields).map(([name, text]) => {
            const { id, type, rule } = parseField(text);
            const list = rule === undefined ? {} : { rule: 'repeated' };
            return [name, { id, type, ...list, options: { packed: rule === 'packed' } }];
          }),
        ),
      },
    ]),
  ),
});

function parseField(text: string): { id: number; type: string; rule: string | undefined } {
  const [id, ...rest] = text.split(' ');
  const type = rest.pop();
  return { id: Number(id), type: type ?? '', rule: rest.pop() };
}

// protobufjs answers reads of absent fields with the type's default; here absent means undefined.
for (const name of MESSAGE_FIELDS.keys()) {
  const type = root.lookupType(name);
  const prototype: Record<string, unknown> = type.setup().ctor.prototype;
  for (const field of type.fieldsArray) delete prototype[field.name];
}

/**
 * Returns the message that `bytes` encode; fields that the schema lacks are kept in `$unknowns`.
 * Byte fields are views of `bytes`. Throws what protobufjs throws when the bytes are damaged.
 */
export function decodeMessage<Message>(name: MessageName, bytes: Uint8Array): Message {
  // Not Reader.create: it would make a Buffer of the Uint8Array, and Buffers of all its parts.
  const reader = new protobuf.Reader(bytes);
  reader.discardUnknown = false;
  return root.lookupType(name).decode(reader) as Message;
}

/** Returns the protobuf bytes of a message: known fields by number, then `$unknowns`. */
export function encodeMessage(name: MessageName, message: object): Uint8Array {
  return root.lookupType(name).encode(message).finish();
}

/** Returns a length-delimited field (tag, length, bytes) as it would stand in a message. */
export function encodeField(id: number, bytes: Uint8Array): Uint8Array {
  return protobuf.Writer.create()
    .uint32(((id << 3) | 2) >>> 0)
    .bytes(bytes)
    .finish();
}
