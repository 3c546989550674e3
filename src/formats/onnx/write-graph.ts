import type {
  Attribute,
  FunctionDefinition,
  Graph,
  Model,
  Node,
  OpsetImport,
  ValueInfo,
} from '../../ir/model.ts';
import type { Metadata, UnknownFields } from '../../ir/preserved.ts';
import {
  type AttributeMessage,
  type DocumentedMessage,
  type FunctionMessage,
  type GraphMessage,
  int64FromBigint,
  type ModelMessage,
  type NodeMessage,
  type OperatorSetIdMessage,
  type ValueInfoMessage,
} from './messages.ts';
import { decodeMessage } from './schema.ts';
import type { TensorPlacement } from './tensor-placement.ts';
import { sparseTensorMessage, tensorMessage } from './write-tensor.ts';
import { typeMessage } from './write-type.ts';

/** Returns the ModelProto of a model; large payloads are marks that `placement` remembers. */
export function modelMessage(model: Model, placement: TensorPlacement): ModelMessage {
  return {
    irVersion: int64FromBigint(BigInt(model.irVersion)),
    producerName: model.producerName,
    producerVersion: model.producerVersion,
    domain: model.domain,
    modelVersion:
      model.modelVersion === undefined ? undefined : int64FromBigint(model.modelVersion),
    graph: graphMessage(model.graph, placement),
    opsetImport: model.opsetImports.map(opsetMessage),
    functions: model.functions.map((definition) => functionMessage(definition, placement)),
    ...documented(model),
  };
}

function graphMessage(graph: Graph, placement: TensorPlacement): GraphMessage {
  return {
    node: graph.nodes.map((node) => nodeMessage(node, placement)),
    name: graph.name,
    initializer: [...graph.initializers].map(([name, tensor]) =>
      tensorMessage({ ...tensor, name }, 'initializer', placement),
    ),
    sparseInitializer: graph.sparseInitializers.map((sparse) =>
      sparseTensorMessage(sparse, placement),
    ),
    input: graph.inputs.map(valueInfoMessage),
    output: graph.outputs.map(valueInfoMessage),
    valueInfo: [...graph.valueInfo.values()].map(valueInfoMessage),
    ...documented(graph),
  };
}

function functionMessage(
  definition: FunctionDefinition,
  placement: TensorPlacement,
): FunctionMessage {
  return {
    name: definition.name,
    domain: definition.domain,
    overload: definition.overload,
    input: definition.inputs,
    output: definition.outputs,
    attribute: definition.attributeNames,
    attributeProto: definition.attributeDefaults.map((attribute) =>
      attributeMessage(attribute, placement),
    ),
    node: definition.nodes.map((node) => nodeMessage(node, placement)),
    opsetImport: definition.opsetImports.map(opsetMessage),
    valueInfo: [...definition.valueInfo.values()].map(valueInfoMessage),
    ...documented(definition),
  };
}

function nodeMessage(node: Node, placement: TensorPlacement): NodeMessage {
  return {
    name: node.name,
    opType: node.opType,
    domain: node.domain === '' ? undefined : node.domain,
    overload: node.overload,
    input: node.inputs,
    output: node.outputs,
    attribute: [...node.attributes.values()].map((attribute) =>
      attributeMessage(attribute, placement),
    ),
    ...documented(node),
  };
}

function opsetMessage(entry: OpsetImport): OperatorSetIdMessage {
  const version = int64FromBigint(BigInt(entry.version));
  return { domain: entry.domain, version, $unknowns: entry.unknownFields };
}

function valueInfoMessage(value: ValueInfo): ValueInfoMessage {
  return { name: value.name, type: value.type && typeMessage(value.type), ...documented(value) };
}

function documented(record: {
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}): DocumentedMessage {
  return {
    docString: record.docString,
    metadataProps: record.metadata,
    $unknowns: record.unknownFields,
  };
}

function attributeMessage(attribute: Attribute, placement: TensorPlacement): AttributeMessage {
  if (attribute.kind === 'opaque') {
    return decodeMessage<AttributeMessage>('AttributeProto', attribute.value);
  }
  return {
    ...attributeValueMessage(attribute, placement),
    name: attribute.name,
    docString: attribute.docString,
    $unknowns: attribute.unknownFields,
  };
}

function attributeValueMessage(
  attribute: Exclude<Attribute, { readonly kind: 'opaque' }>,
  placement: TensorPlacement,
): Omit<AttributeMessage, 'name'> {
  switch (attribute.kind) {
    case 'float':
      return { type: 1, f: attribute.value };
    case 'int':
      return { type: 2, i: int64FromBigint(attribute.value) };
    case 'string':
      return { type: 3, s: attribute.value };
    case 'tensor':
      return { type: 4, t: tensorMessage(attribute.value, 'attribute', placement) };
    case 'graph':
      return { type: 5, g: graphMessage(attribute.value, placement) };
    case 'floats':
      return { type: 6, floats: attribute.value };
    case 'ints':
      return { type: 7, ints: attribute.value.map(int64FromBigint) };
    case 'strings':
      return { type: 8, strings: attribute.value };
    case 'tensors':
      return {
        type: 9,
        tensors: attribute.value.map((value) => tensorMessage(value, 'attribute', placement)),
      };
    case 'graphs':
      return { type: 10, graphs: attribute.value.map((value) => graphMessage(value, placement)) };
    case 'sparseTensor':
      return { type: 11, sparseTensor: sparseTensorMessage(attribute.value, placement) };
    case 'sparseTensors':
      return {
        type: 12,
        sparseTensors: attribute.value.map((value) => sparseTensorMessage(value, placement)),
      };
    case 'type':
      return { type: 13, tp: typeMessage(attribute.value) };
    case 'types':
      return { type: 14, typeProtos: attribute.value.map(typeMessage) };
    case 'reference':
      return { type: attribute.typeCode, refAttrName: attribute.value };
  }
}
