/** Records -> protobuf messages. */
import { float32ToFloat16 } from '../../numerics/float16.ts';
import type {
  FeatureMessage,
  ModelMessage,
  NamedTypeMessage,
  OperationMessage,
  TensorValueMessage,
  ValueMessage,
  ValueTypeMessage,
} from './messages.ts';
import {
  MIL_TYPES,
  type MilArgument,
  type MilFeature,
  type MilFunction,
  type MilModel,
  type MilNamedType,
  type MilOperation,
  type MilTensorType,
  type MilValue,
  opsetOf,
} from './mil.ts';

/** Path of the weight file as programs name it. */
export const WEIGHT_FILE = '@model_path/weights/weight.bin';

/** `ArrayDataType` numbers of what an app may pass. */
export const FEATURE_TYPES = { fp32: 65568, fp16: 65552, int32: 131104 } as const;

/** Says where the record of a constant lies in the weight file. */
export type OffsetOf = (value: MilValue) => number;

/** Returns the message of a whole model. */
export function encodeModel(model: MilModel, offsetOf: OffsetOf): ModelMessage {
  const { specificationVersion, metadata } = model;
  const { description, author, license, version, userDefined } = metadata;
  return {
    specificationVersion,
    description: {
      input: model.inputs.map(encodeFeature),
      output: model.outputs.map(encodeFeature),
      metadata: {
        ...(description !== undefined && { shortDescription: description }),
        ...(version !== undefined && { versionString: version }),
        ...(author !== undefined && { author }),
        ...(license !== undefined && { license }),
        userDefined: Object.fromEntries(userDefined),
      },
    },
    mlProgram: {
      version: 1,
      functions: Object.fromEntries(
        model.functions.map((one) => [
          one.name,
          encodeFunction(one, opsetOf(specificationVersion), offsetOf),
        ]),
      ),
    },
  };
}

function encodeFeature({ name, dataType, shape, ranges }: MilFeature): FeatureMessage {
  return {
    name,
    type: {
      multiArrayType: {
        ...(shape !== undefined && { shape }),
        dataType: FEATURE_TYPES[dataType],
        ...(ranges !== undefined && {
          shapeRange: {
            sizeRanges: ranges.map(([lowerBound, upperBound]) => ({ lowerBound, upperBound })),
          },
        }),
      },
    },
  };
}

function encodeFunction(one: MilFunction, opset: string, offsetOf: OffsetOf): object {
  return {
    inputs: one.inputs.map(encodeNamed),
    opset,
    blockSpecializations: {
      [opset]: {
        outputs: one.outputs,
        operations: one.operations.map((operation) => encodeOperation(operation, offsetOf)),
      },
    },
  };
}

function encodeOperation(operation: MilOperation, offsetOf: OffsetOf): OperationMessage {
  const bind = (argument: MilArgument): { name?: string; value?: ValueMessage } =>
    typeof argument === 'string' ? { name: argument } : { value: encodeValue(argument, offsetOf) };
  return {
    type: operation.type,
    inputs: Object.fromEntries(
      [...operation.inputs].map(([name, list]) => [name, { arguments: list.map(bind) }]),
    ),
    outputs: operation.outputs.map(encodeNamed),
    attributes: Object.fromEntries(
      [...operation.attributes].map(([name, value]) => [name, encodeValue(value, offsetOf)]),
    ),
  };
}

function encodeNamed({ name, type }: MilNamedType): NamedTypeMessage {
  return { name, type: encodeType(type) };
}

function encodeType({ dataType, dims }: MilTensorType): ValueTypeMessage {
  return {
    tensorType: {
      dataType: MIL_TYPES[dataType].code,
      rank: dims.length,
      dimensions: dims.map((size) =>
        size === undefined ? { unknown: {} } : { constant: { size } },
      ),
    },
  };
}

function encodeValue(value: MilValue, offsetOf: OffsetOf): ValueMessage {
  const type = encodeType(value.type);
  if (value.data.kind === 'blob') {
    return { type, blobFileValue: { fileName: WEIGHT_FILE, offset: offsetOf(value) } };
  }
  return { type, immediateValue: { tensor: encodeElements(value) } };
}

/** Half floats and integers of one byte go into `bytes`, as coremltools has it. */
function encodeElements({ type, data }: MilValue): TensorValueMessage {
  if (data.kind === 'strings') return { strings: { values: data.strings } };
  const numbers = data.kind === 'numbers' ? data.numbers : [];
  switch (type.dataType) {
    case 'fp32':
      return { floats: { values: numbers } };
    case 'bool':
      return { bools: { values: numbers.map((number) => number !== 0) } };
    case 'fp16':
      return {
        bytes: { values: new Uint8Array(Uint16Array.from(numbers, float32ToFloat16).buffer) },
      };
    case 'int8':
    case 'uint8':
      return { bytes: { values: Uint8Array.from(numbers) } };
    case 'uint32':
      return { bytes: { values: new Uint8Array(Uint32Array.from(numbers).buffer) } };
    default:
      return { ints: { values: numbers } };
  }
}
