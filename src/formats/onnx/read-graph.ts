import type {
  Attribute,
  AttributeValue,
  FunctionDefinition,
  Graph,
  Node,
  OpsetImport,
  SparseTensor,
  ValueInfo,
} from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import {
  type AttributeMessage,
  bigintFromInt64,
  type FunctionMessage,
  type GraphMessage,
  type NodeMessage,
  type OperatorSetIdMessage,
  type TensorMessage,
  type ValueInfoMessage,
} from './messages.ts';
import { orderNodes } from './order-nodes.ts';
import { readDocumented, readSize, readUnknown } from './read-common-fields.ts';
import { readSparseTensor, readTensor, type TensorFiles } from './read-tensor.ts';
import { readType } from './read-type.ts';
import { refuse } from './refuse.ts';
import { encodeMessage } from './schema.ts';

/**
 * Returns the graph of a GraphProto, its nodes in topological order. `where` is the model's path.
 */
export function readGraph(message: GraphMessage, files: TensorFiles, where: string): Graph {
  const initializers = new Map<string, Tensor>();
  for (const tensor of message.initializer ?? []) {
    const name = tensor.name ?? '';
    if (name === '') refuse(where, 'an initializer has no name');
    if (initializers.has(name)) refuse(where, `two initializers are named "${name}"`);
    initializers.set(name, readTensor(tensor, files, where));
  }
  return {
    name: message.name ?? '',
    nodes: readNodes(message.node, files, where),
    inputs: (message.input ?? []).map((value) => readValueInfo(value, where)),
    outputs: (message.output ?? []).map((value) => readValueInfo(value, where)),
    initializers,
    sparseInitializers: (message.sparseInitializer ?? []).map((tensor) =>
      readSparseTensor(tensor, files, where),
    ),
    valueInfo: readValueInfos(message.valueInfo, where),
    ...readDocumented(message, 'GraphProto'),
  };
}

/** Returns the function of a FunctionProto. */
export function readFunction(
  message: FunctionMessage,
  files: TensorFiles,
  where: string,
): FunctionDefinition {
  const at = `${where}: function ${message.name ?? ''}`;
  return {
    name: message.name ?? '',
    domain: message.domain ?? '',
    ...(message.overload !== undefined && { overload: message.overload }),
    inputs: message.input ?? [],
    outputs: message.output ?? [],
    attributeNames: message.attribute ?? [],
    attributeDefaults: (message.attributeProto ?? []).map((attribute) =>
      readAttribute(attribute, files, at),
    ),
    nodes: readNodes(message.node, files, at),
    opsetImports: readOpsetImports(message.opsetImport, at),
    valueInfo: readValueInfos(message.valueInfo, at),
    ...readDocumented(message, 'FunctionProto'),
  };
}

/** Returns the operator sets that a model or function imports. */
export function readOpsetImports(
  messages: readonly OperatorSetIdMessage[] | undefined,
  where: string,
): readonly OpsetImport[] {
  return (messages ?? []).map((message) => ({
    domain: message.domain ?? '',
    version: message.version ? readSize(message.version, `${where}: an opset version`) : 0,
    ...readUnknown(message),
  }));
}

function readNodes(
  messages: readonly NodeMessage[] | undefined,
  files: TensorFiles,
  where: string,
): readonly Node[] {
  return orderNodes(
    (messages ?? []).map((message) => readNode(message, files, where)),
    where,
  );
}

function readNode(message: NodeMessage, files: TensorFiles, where: string): Node {
  const opType = message.opType ?? '';
  const at = `${where}: node "${message.name ?? ''}" (${opType})`;
  if (opType === '') refuse(at, 'it has no op_type');
  const attributes = new Map<string, Attribute>();
  for (const attributeMessage of message.attribute ?? []) {
    const attribute = readAttribute(attributeMessage, files, at);
    if (attributes.has(attribute.name)) refuse(at, `attribute "${attribute.name}" is given twice`);
    attributes.set(attribute.name, attribute);
  }
  return {
    name: message.name ?? '',
    opType,
    domain: message.domain ?? '',
    inputs: message.input ?? [],
    outputs: message.output ?? [],
    attributes,
    ...(message.overload !== undefined && { overload: message.overload }),
    ...readDocumented(message, 'NodeProto'),
  };
}

function readValueInfo(message: ValueInfoMessage, where: string): ValueInfo {
  const name = message.name ?? '';
  return {
    name,
    ...(message.type && { type: readType(message.type, `${where}: value "${name}"`) }),
    ...readDocumented(message, 'ValueInfoProto'),
  };
}

/** Exporters repeat entries now and then; the last one counts. */
function readValueInfos(
  messages: readonly ValueInfoMessage[] | undefined,
  where: string,
): ReadonlyMap<string, ValueInfo> {
  return new Map(
    (messages ?? []).map((message) => [message.name ?? '', readValueInfo(message, where)]),
  );
}

/** AttributeProto fields that hold values, by AttributeType number. */
const VALUE_FIELDS: ReadonlyMap<number, keyof AttributeMessage> = new Map<
  number,
  keyof AttributeMessage
>([
  [1, 'f'],
  [2, 'i'],
  [3, 's'],
  [4, 't'],
  [5, 'g'],
  [6, 'floats'],
  [7, 'ints'],
  [8, 'strings'],
  [9, 'tensors'],
  [10, 'graphs'],
  [11, 'sparseTensor'],
  [12, 'sparseTensors'],
  [13, 'tp'],
  [14, 'typeProtos'],
]);

function readAttribute(message: AttributeMessage, files: TensorFiles, where: string): Attribute {
  const name = message.name ?? '';
  const at = `${where}: attribute "${name}"`;
  const stated = message.type ?? 0;
  const present = [...VALUE_FIELDS].filter(([, field]) => isPresent(message[field]));
  if (message.refAttrName) {
    if (present.length > 0) refuse(at, 'it has a value and refers to another attribute');
    const value = message.refAttrName;
    return { name, kind: 'reference', value, typeCode: stated, ...readExtras(message) };
  }
  // Files older than IR version 2 state no type: there the only value tells it.
  const code = stated === 0 && present.length === 1 ? (present[0]?.[0] ?? 0) : stated;
  if (present.some(([other]) => other !== code)) {
    refuse(
      at,
      `its value does not fit its type (${present.map(([, field]) => field).join(' and ')} with type ${stated})`,
    );
  }
  return { name, ...readAttributeValue(message, code, files, at), ...readExtras(message) };
}

function isPresent(value: AttributeMessage[keyof AttributeMessage]): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== null;
}

function readExtras(message: AttributeMessage): Pick<Attribute, 'docString' | 'unknownFields'> {
  return {
    ...(message.docString !== undefined && { docString: message.docString }),
    ...readUnknown(message),
  };
}

function readAttributeValue(
  message: AttributeMessage,
  code: number,
  files: TensorFiles,
  at: string,
): AttributeValue {
  const tensor = (from: TensorMessage): Tensor => readTensor(from, files, at);
  const sparse = (from: NonNullable<AttributeMessage['sparseTensor']>): SparseTensor =>
    readSparseTensor(from, files, at);
  const graph = (from: GraphMessage): Graph => readGraph(from, files, at);
  const { t, g, tp, sparseTensor } = message;
  switch (code) {
    case 1:
      return { kind: 'float', value: message.f ?? 0 };
    case 2:
      return { kind: 'int', value: message.i ? bigintFromInt64(message.i) : 0n };
    case 3:
      return { kind: 'string', value: (message.s ?? new Uint8Array()).slice() };
    case 4:
      return { kind: 'tensor', value: tensor(t ?? refuse(at, 'it has no tensor')) };
    case 5:
      return { kind: 'graph', value: graph(g ?? refuse(at, 'it has no graph')) };
    case 6:
      return { kind: 'floats', value: message.floats ?? [] };
    case 7:
      return { kind: 'ints', value: (message.ints ?? []).map(bigintFromInt64) };
    case 8:
      return { kind: 'strings', value: (message.strings ?? []).map((value) => value.slice()) };
    case 9:
      return { kind: 'tensors', value: (message.tensors ?? []).map(tensor) };
    case 10:
      return { kind: 'graphs', value: (message.graphs ?? []).map(graph) };
    case 11:
      return {
        kind: 'sparseTensor',
        value: sparse(sparseTensor ?? refuse(at, 'it has no sparse tensor')),
      };
    case 12:
      return { kind: 'sparseTensors', value: (message.sparseTensors ?? []).map(sparse) };
    case 13:
      return { kind: 'type', value: readType(tp ?? refuse(at, 'it has no type'), at) };
    case 14:
      return {
        kind: 'types',
        value: (message.typeProtos ?? []).map((type) => readType(type, at)),
      };
    default:
      return { kind: 'opaque', value: encodeMessage('AttributeProto', message) };
  }
}
