import protobuf from 'protobufjs/light.js';

/**
 * The part of Core ML's Model.proto, FeatureTypes.proto and MIL.proto that ML Programs use, as
 * `name: 'number [repeated|map] type'`. Numbers in lists are packed (proto3).
 */
const FIELDS = {
  Model: {
    specificationVersion: '1 int32',
    description: '2 ModelDescription',
    isUpdatable: '10 bool',
    mlProgram: '502 Program',
  },
  ModelDescription: {
    input: '1 repeated FeatureDescription',
    output: '10 repeated FeatureDescription',
    state: '13 repeated FeatureDescription',
    functions: '20 repeated FunctionDescription',
    metadata: '100 Metadata',
  },
  FunctionDescription: { name: '1 string' },
  Metadata: {
    shortDescription: '1 string',
    versionString: '2 string',
    author: '3 string',
    license: '4 string',
    userDefined: '100 map string',
  },
  FeatureDescription: { name: '1 string', shortDescription: '2 string', type: '3 FeatureType' },
  FeatureType: { multiArrayType: '5 ArrayFeatureType', isOptional: '1000 bool' },
  ArrayFeatureType: { shape: '1 repeated int64', dataType: '2 int32', shapeRange: '31 ShapeRange' },
  ShapeRange: { sizeRanges: '1 repeated SizeRange' },
  SizeRange: { lowerBound: '1 uint64', upperBound: '2 int64' },
  Program: { version: '1 int64', functions: '2 map Function', docString: '3 string' },
  Function: {
    inputs: '1 repeated NamedValueType',
    opset: '2 string',
    blockSpecializations: '3 map Block',
  },
  Block: {
    inputs: '1 repeated NamedValueType',
    outputs: '2 repeated string',
    operations: '3 repeated Operation',
  },
  Operation: {
    type: '1 string',
    inputs: '2 map Argument',
    outputs: '3 repeated NamedValueType',
    blocks: '4 repeated Block',
    attributes: '5 map Value',
  },
  Argument: { arguments: '1 repeated Binding' },
  Binding: { name: '1 string', value: '2 Value' },
  NamedValueType: { name: '1 string', type: '2 ValueType' },
  ValueType: { tensorType: '1 TensorType', stateType: '5 StateType' },
  StateType: { wrappedType: '1 ValueType' },
  TensorType: { dataType: '1 int32', rank: '2 int64', dimensions: '3 repeated Dimension' },
  Dimension: { constant: '1 ConstantDimension', unknown: '2 UnknownDimension' },
  ConstantDimension: { size: '1 uint64' },
  UnknownDimension: { variadic: '1 bool' },
  Value: {
    docString: '1 string',
    type: '2 ValueType',
    immediateValue: '3 ImmediateValue',
    blobFileValue: '5 BlobFileValue',
  },
  BlobFileValue: { fileName: '1 string', offset: '2 uint64' },
  ImmediateValue: { tensor: '1 TensorValue' },
  TensorValue: {
    floats: '1 Floats',
    ints: '2 Ints',
    bools: '3 Bools',
    strings: '4 Strings',
    longInts: '5 Longs',
    doubles: '6 Doubles',
    bytes: '7 Bytes',
  },
  Floats: { values: '1 repeated float' },
  Ints: { values: '1 repeated int32' },
  Bools: { values: '1 repeated bool' },
  Strings: { values: '1 repeated string' },
  Longs: { values: '1 repeated int64' },
  Doubles: { values: '1 repeated double' },
  Bytes: { values: '1 bytes' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Name of a message of the schema. */
type MessageName = keyof typeof FIELDS;

const NOT_PACKED: ReadonlySet<string> = new Set(['string', 'bytes']);

const root = protobuf.Root.fromJSON({
  nested: Object.fromEntries(
    Object.entries(FIELDS).map(([message, fields]) => [
      message,
      {
        // proto2 rules, so that what a file leaves out stays undefined.
        edition: 'proto2',
        fields: Object.fromEntries(
          Object.entries(fields).map(([name, text]) => [name, fieldOf(text)]),
        ),
      },
    ]),
  ),
});

function fieldOf(text: string): protobuf.IField {
  const [id, first = '', second] = text.split(' ');
  if (second === undefined) return { id: Number(id), type: first };
  if (first === 'map') {
    const map: protobuf.IMapField = { id: Number(id), type: second, keyType: 'string' };
    return map;
  }
  const packed = !NOT_PACKED.has(second) && !(second in FIELDS);
  return { id: Number(id), type: second, rule: 'repeated', options: { packed } };
}

// protobufjs answers reads of absent fields with the type's default; here absent means undefined.
for (const name of Object.keys(FIELDS)) {
  const type = root.lookupType(name);
  const prototype: Record<string, unknown> = type.setup().ctor.prototype;
  for (const field of type.fieldsArray) delete prototype[field.name];
}

/** Returns the message that `bytes` encode, as it lies in the file. Throws what protobufjs throws. */
export function decodeCoremlMessage<Message>(name: MessageName, bytes: Uint8Array): Message {
  return root.lookupType(name).decode(new protobuf.Reader(bytes)) as Message;
}

/** Returns the protobuf bytes of a message; entries of maps come in the order of their keys' insertion. */
export function encodeCoremlMessage(name: MessageName, message: object): Uint8Array {
  return root.lookupType(name).encode(message).finish();
}
