import { type DataType, dataTypeFromCode } from '../../ir/data-type.ts';
import type { ContainerType, Dim, TensorType, ValueType } from '../../ir/model.ts';
import type {
  ContainerTypeMessage,
  DimensionMessage,
  Message,
  TensorTypeMessage,
  TypeMessage,
} from './messages.ts';
import { readSize, readUnknown } from './read-common-fields.ts';
import { encodeMessage } from './schema.ts';

/**
 * Returns the type of a TypeProto. Maps, opaque types, kinds newer than the schema, and types
 * with unknown fields further inside come out as `opaque`, so that nothing of them is lost.
 */
export function readType(message: TypeMessage, where: string): ValueType {
  const { tensorType, sparseTensorType, sequenceType, optionalType } = message;
  const kinds = [tensorType, sparseTensorType, sequenceType, optionalType].filter(
    (kind) => kind !== undefined,
  );
  if (kinds.length === 1) {
    const tensor = tensorType ?? sparseTensorType;
    if (tensor !== undefined && !holdsNewerFields(tensor)) {
      return readTensorType(message, tensor, tensorType ? 'tensor' : 'sparseTensor', where);
    }
    const container = sequenceType ?? optionalType;
    if (container !== undefined && !hasUnknown(container)) {
      return readContainerType(message, container, sequenceType ? 'sequence' : 'optional', where);
    }
  }
  return { kind: 'opaque', encoded: encodeMessage('TypeProto', message) };
}

function readTensorType(
  message: TypeMessage,
  tensor: TensorTypeMessage,
  kind: TensorType['kind'],
  where: string,
): TensorType {
  const dims = tensor.shape?.dim ?? [];
  return {
    kind,
    dataType: readElementType(tensor.elemType),
    ...(tensor.shape && { shape: dims.map((dim) => readDim(dim, where)) }),
    ...(message.denotation !== undefined && { denotation: message.denotation }),
    ...(dims.some((dim) => dim.denotation !== undefined) && {
      dimDenotations: dims.map((dim) => dim.denotation),
    }),
    ...readUnknown(message),
  };
}

function readContainerType(
  message: TypeMessage,
  { elemType }: ContainerTypeMessage,
  kind: ContainerType['kind'],
  where: string,
): ContainerType {
  return {
    kind,
    element: elemType && readType(elemType, where),
    ...(message.denotation !== undefined && { denotation: message.denotation }),
    ...readUnknown(message),
  };
}

function readElementType(code: number | undefined): DataType {
  return dataTypeFromCode(code ?? 0);
}

/** A negative size means "unknown" to onnxruntime, and an empty symbol names nothing. */
function readDim({ dimValue, dimParam }: DimensionMessage, where: string): Dim {
  if (dimParam !== undefined && dimParam !== '') return dimParam;
  if (dimValue === undefined || dimValue.high < 0) return undefined;
  return readSize(dimValue, `${where}: a dimension of a type`);
}

function holdsNewerFields(type: TensorTypeMessage): boolean {
  const { shape } = type;
  return (
    hasUnknown(type) ||
    (shape !== undefined && (hasUnknown(shape) || (shape.dim ?? []).some(hasUnknown)))
  );
}

function hasUnknown(message: Message): boolean {
  return (message.$unknowns?.length ?? 0) > 0;
}
