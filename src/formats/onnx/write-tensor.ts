import { dataTypeCode } from '../../ir/data-type.ts';
import type { SparseTensor } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import {
  type Int64,
  int64FromBigint,
  type SparseTensorMessage,
  type TensorMessage,
} from './messages.ts';
import { RAW_DATA_FIELD } from './schema.ts';
import type { TensorPlacement, TensorRole } from './tensor-placement.ts';

/**
 * Returns the TensorProto of a tensor: its payload as `raw_data`, as a mark, or as a reference to
 * a file.
 */
export function tensorMessage(
  tensor: Tensor,
  role: TensorRole,
  placement: TensorPlacement,
): TensorMessage {
  const { byteLength } = tensor.source;
  const common: TensorMessage = {
    dims: tensor.dims.map(int64FromNumber),
    dataType: dataTypeCode(tensor.dataType),
    name: tensor.name,
    docString: tensor.docString,
    metadataProps: tensor.metadata,
    $unknowns: tensor.unknownFields,
  };
  if (tensor.strings !== undefined) return { ...common, stringData: tensor.strings };
  if (byteLength === 0) return common;
  const place = placement.place(tensor, role);
  switch (place.kind) {
    case 'bytes':
      return { ...common, rawData: place.bytes };
    case 'streamed':
      return { ...common, payload: [{ field: RAW_DATA_FIELD, position: place.index, byteLength }] };
    case 'external':
      return {
        ...common,
        dataLocation: 1,
        externalData: [
          { key: 'location', value: place.location },
          { key: 'offset', value: String(place.offset) },
          { key: 'length', value: String(byteLength) },
        ],
      };
  }
}

/** Returns the SparseTensorProto of a sparse tensor; its payloads stay in the file. */
export function sparseTensorMessage(
  sparse: SparseTensor,
  placement: TensorPlacement,
): SparseTensorMessage {
  return {
    values: tensorMessage(sparse.values, 'attribute', placement),
    indices: tensorMessage(sparse.indices, 'attribute', placement),
    dims: sparse.dims.map(int64FromNumber),
    $unknowns: sparse.unknownFields,
  };
}

function int64FromNumber(value: number): Int64 {
  return int64FromBigint(BigInt(value));
}
