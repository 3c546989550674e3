import { dataTypeCode } from '../../ir/data-type.ts';
import type { Dim, TensorType, ValueType } from '../../ir/model.ts';
import { type DimensionMessage, int64FromBigint, type TypeMessage } from './messages.ts';
import { decodeMessage } from './schema.ts';

/** Returns the TypeProto of a type. */
export function typeMessage(type: ValueType): TypeMessage {
  if (type.kind === 'opaque') return decodeMessage<TypeMessage>('TypeProto', type.encoded);
  const common = { denotation: type.denotation, $unknowns: type.unknownFields };
  switch (type.kind) {
    case 'tensor':
      return { ...common, tensorType: tensorTypeMessage(type) };
    case 'sparseTensor':
      return { ...common, sparseTensorType: tensorTypeMessage(type) };
    case 'sequence':
      return { ...common, sequenceType: { elemType: type.element && typeMessage(type.element) } };
    case 'optional':
      return { ...common, optionalType: { elemType: type.element && typeMessage(type.element) } };
  }
}

function tensorTypeMessage(type: TensorType): NonNullable<TypeMessage['tensorType']> {
  const { dataType, shape, dimDenotations } = type;
  return {
    elemType: dataTypeCode(dataType),
    shape: shape && {
      dim: shape.map((dim, index) => dimensionMessage(dim, dimDenotations?.[index])),
    },
  };
}

function dimensionMessage(dim: Dim, denotation: string | undefined): DimensionMessage {
  if (typeof dim === 'number') return { dimValue: int64FromBigint(BigInt(dim)), denotation };
  return { dimParam: dim, denotation };
}
