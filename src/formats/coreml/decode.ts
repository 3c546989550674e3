/** Protobuf messages -> records, every field checked: packages may come from anywhere. */
import { float16ToFloat32 } from '../../numerics/float16.ts';
import { FEATURE_TYPES } from './encode.ts';
import {
  type FeatureMessage,
  type FunctionMessage,
  type ModelMessage,
  type NamedTypeMessage,
  numberOfLong,
  type OperationMessage,
  type ValueMessage,
  type ValueTypeMessage,
} from './messages.ts';
import {
  MIL_TYPES,
  type MilDataType,
  type MilFeature,
  type MilFunction,
  type MilModel,
  type MilNamedType,
  type MilOperation,
  type MilTensorType,
  type MilValue,
  milElementCount,
  opsetOf,
} from './mil.ts';
import { refuseCoreml } from './refuse.ts';

const TYPE_BY_CODE: ReadonlyMap<number, MilDataType> = new Map(
  Object.entries(MIL_TYPES).map(([name, { code }]) => [code, name as MilDataType]),
);
/** Far above any tensor that fits a weight file. */
const MAX_SIZE = 2 ** 40;

/** Returns the lazy constant of that type at a position of the named weight file. */
export type OpenBlob = (type: MilTensorType, fileName: string, offset: number) => MilValue['data'];

/** Returns the records of a model message. `where` begins every refusal. Throws FormatError. */
export function decodeModel(message: ModelMessage, where: string, openBlob: OpenBlob): MilModel {
  const { specificationVersion = 0, description, mlProgram } = message;
  if (mlProgram === undefined) refuseCoreml(where, 'holds no ML Program');
  if (specificationVersion < 6 || specificationVersion > 10) {
    refuseCoreml(
      where,
      `has a specification version that is not known (got ${specificationVersion}, expected 6 to 10)`,
    );
  }
  if ((description?.state ?? []).length > 0)
    refuseCoreml(where, 'has states, which are not read yet');
  if ((description?.functions ?? []).length > 0)
    refuseCoreml(where, 'has several functions, which are not read yet');
  const metadata = description?.metadata;
  return {
    specificationVersion,
    inputs: (description?.input ?? []).map((feature) => decodeFeature(feature, where)),
    outputs: (description?.output ?? []).map((feature) => decodeFeature(feature, where)),
    functions: Object.entries(mlProgram.functions ?? {}).map(([name, one]) =>
      decodeFunction(name, one, {
        where: `${where}: function ${name}`,
        opset: opsetOf(specificationVersion),
        openBlob,
      }),
    ),
    metadata: {
      description: metadata?.shortDescription,
      author: metadata?.author,
      license: metadata?.license,
      version: metadata?.versionString,
      userDefined: new Map(Object.entries(metadata?.userDefined ?? {})),
    },
  };
}

interface Context {
  readonly where: string;
  readonly opset: string;
  readonly openBlob: OpenBlob;
}

function decodeFeature({ name, type }: FeatureMessage, where: string): MilFeature {
  const at = `${where}: ${name}`;
  const array = type?.multiArrayType;
  if (name === undefined || array === undefined) refuseCoreml(at, 'is not a multi-array');
  const dataType = Object.entries(FEATURE_TYPES).find(([, code]) => code === array.dataType)?.[0];
  if (dataType === undefined)
    refuseCoreml(at, `has an element type that is not known (got ${array.dataType})`);
  const shape = array.shape?.map(numberOfLong);
  const ranges = array.shapeRange?.sizeRanges?.map(
    ({ lowerBound, upperBound }) => [numberOfLong(lowerBound), numberOfLong(upperBound)] as const,
  );
  const isShaped = shape !== undefined && shape.length > 0;
  return {
    name,
    dataType: dataType as MilFeature['dataType'],
    shape: isShaped ? shape : undefined,
    ...(ranges !== undefined && { ranges }),
  };
}

function decodeFunction(name: string, message: FunctionMessage, context: Context): MilFunction {
  const { where, opset } = context;
  const blocks = Object.entries(message.blockSpecializations ?? {});
  const block = blocks[0]?.[1];
  if (blocks.length !== 1 || block === undefined || blocks[0]?.[0] !== message.opset) {
    refuseCoreml(
      where,
      `needs one block, of its own opset (got ${blocks.map(([key]) => key)} for ${message.opset})`,
    );
  }
  if (message.opset !== opset) {
    refuseCoreml(
      where,
      `is of another opset than the specification version (got ${message.opset}, expected ${opset})`,
    );
  }
  return {
    name,
    inputs: (message.inputs ?? []).map((input) => decodeNamed(input, where)),
    operations: (block.operations ?? []).map((operation) => decodeOperation(operation, context)),
    outputs: block.outputs ?? [],
  };
}

function decodeOperation(message: OperationMessage, context: Context): MilOperation {
  const outputs = (message.outputs ?? []).map((output) => decodeNamed(output, context.where));
  const where = `${context.where}: ${message.type} ${outputs[0]?.name}`;
  if ((message.blocks ?? []).length > 0)
    refuseCoreml(where, 'has blocks of its own, which are not read');
  const decode = (value: ValueMessage | undefined): MilValue =>
    decodeValue(value, { ...context, where });
  return {
    type: message.type ?? '',
    inputs: new Map(
      Object.entries(message.inputs ?? {}).map(([name, { arguments: list }]) => [
        name,
        (list ?? []).map((binding) => binding.name ?? decode(binding.value)),
      ]),
    ),
    attributes: new Map(
      Object.entries(message.attributes ?? {}).map(([name, value]) => [name, decode(value)]),
    ),
    outputs,
  };
}

function decodeNamed({ name, type }: NamedTypeMessage, where: string): MilNamedType {
  if (name === undefined || name === '') refuseCoreml(where, 'has a value without a name');
  return { name, type: decodeType(type, `${where}: ${name}`) };
}

function decodeType(message: ValueTypeMessage | undefined, where: string): MilTensorType {
  const tensor = message?.tensorType;
  if (tensor === undefined) refuseCoreml(where, 'is not a tensor');
  const dataType = TYPE_BY_CODE.get(tensor.dataType ?? 0);
  if (dataType === undefined)
    refuseCoreml(where, `has an element type that is not known (got ${tensor.dataType})`);
  const dimensions = tensor.dimensions ?? [];
  if (numberOfLong(tensor.rank) !== dimensions.length) {
    refuseCoreml(
      where,
      `has another rank than dimensions (got ${numberOfLong(tensor.rank)}, expected ${dimensions.length})`,
    );
  }
  const dims = dimensions.map(({ constant, unknown }) => {
    if (unknown?.variadic === true) refuseCoreml(where, 'has an unknown rank');
    if (constant === undefined) return undefined;
    const size = numberOfLong(constant.size);
    if (size < 0 || size > MAX_SIZE) refuseCoreml(where, `has an absurd size (got ${size})`);
    return size;
  });
  return { dataType, dims };
}

function decodeValue(message: ValueMessage | undefined, context: Context): MilValue {
  const { where } = context;
  const type = decodeType(message?.type, where);
  const count = milElementCount(type.dims);
  if (message?.docString !== undefined && message.docString !== '')
    refuseCoreml(where, 'has a doc string on a value');
  if (count === undefined || count > MAX_SIZE) refuseCoreml(where, 'has a constant without a size');
  const blob = message?.blobFileValue;
  if (blob !== undefined) {
    return { type, data: context.openBlob(type, blob.fileName ?? '', numberOfLong(blob.offset)) };
  }
  const data = decodeElements(type.dataType, message, where);
  const found =
    data.kind === 'strings'
      ? data.strings.length
      : data.kind === 'numbers'
        ? data.numbers.length
        : 0;
  if (found !== count)
    refuseCoreml(
      where,
      `has a constant of another size (got ${found}, expected ${count} elements)`,
    );
  return { type, data };
}

function decodeElements(
  dataType: MilDataType,
  message: ValueMessage | undefined,
  where: string,
): MilValue['data'] {
  const tensor = message?.immediateValue?.tensor ?? {};
  const missing = (field: string): never =>
    refuseCoreml(where, `keeps ${dataType} elements in another field (expected ${field})`);
  if (dataType === 'string')
    return { kind: 'strings', strings: tensor.strings?.values ?? missing('strings') };
  if (dataType === 'fp32')
    return numbers(tensor.floats?.values ?? (tensor.floats ? [] : missing('floats')));
  if (dataType === 'bool')
    return numbers((tensor.bools?.values ?? (tensor.bools ? [] : missing('bools'))).map(Number));
  if (dataType === 'int32' || dataType === 'int16' || dataType === 'uint16') {
    return numbers(tensor.ints?.values ?? (tensor.ints ? [] : missing('ints')));
  }
  const bytes = tensor.bytes?.values ?? missing('bytes');
  const copy = bytes.slice();
  if (dataType === 'fp16') {
    if (copy.length % 2 !== 0) refuseCoreml(where, 'has half a float');
    return numbers([...new Uint16Array(copy.buffer)].map(float16ToFloat32));
  }
  if (dataType === 'int8') return numbers([...new Int8Array(copy.buffer)]);
  if (dataType === 'uint8') return numbers([...copy]);
  if (dataType === 'uint32' && copy.length % 4 === 0)
    return numbers([...new Uint32Array(copy.buffer)]);
  return refuseCoreml(where, `has ${dataType} elements in place, which are not read`);
}

function numbers(list: readonly number[]): MilValue['data'] {
  return { kind: 'numbers', numbers: list };
}
