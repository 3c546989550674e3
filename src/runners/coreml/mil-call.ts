import type { MilDataType, MilOperation, MilTensorType } from '../../formats/coreml/mil.ts';
import type { AttributeLiteral } from '../../ir/attributes.ts';
import { type DataType, dataTypeCode } from '../../ir/data-type.ts';

/** What a row sees of one operation. */
export interface MilCall {
  readonly operation: MilOperation;
  readonly output: string;
  /** Name of the ONNX value of an operand. */
  input(parameter: string): string;
  inputs(parameter: string): readonly string[];
  typeOf(parameter: string): MilTensorType;
  /** Elements of a constant operand. */
  numbers(parameter: string): readonly number[];
  text(parameter: string): string;
  /** Returns the name of a new constant. */
  constant(
    dataType: 'int64' | 'float32' | 'bool',
    values: readonly number[],
    dims?: readonly number[],
  ): string;
  /** Adds a node and returns the name of its first output, a new one unless it is given. */
  emit(
    opType: string,
    inputs: readonly string[],
    literals?: Readonly<Record<string, AttributeLiteral>>,
    outputs?: readonly string[],
  ): string;
}

/** Emits the ONNX nodes of one MIL operation. */
export type MilRow = (call: MilCall) => void;

/** Returns the element type by which ONNX evaluates one of MIL. */
export function evaluatedAs(dataType: MilDataType): DataType {
  if (dataType === 'fp16' || dataType === 'fp32') return 'float32';
  return dataType === 'int16' || dataType === 'uint16' || dataType === 'uint32'
    ? 'int32'
    : dataType;
}

/** Returns the ONNX number of the element type that a MIL type is evaluated in. */
export function evaluatedCode(dataType: string): bigint {
  return BigInt(dataTypeCode(evaluatedAs(dataType as MilDataType)));
}
