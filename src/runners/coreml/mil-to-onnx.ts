/**
 * An ML Program as an ONNX model, so that onnxruntime can evaluate it. This is a reference evaluation of what
 * was written, not Apple's runtime: a misreading of an operator shared by writer and reader cancels out.
 */
import { UnsupportedError } from '../../errors.ts';
import {
  type MilArgument,
  type MilModel,
  type MilNamedType,
  type MilOperation,
  type MilTensorType,
  type MilValue,
  printMilType,
} from '../../formats/coreml/mil.ts';
import { type AttributeLiteral, attributes } from '../../ir/attributes.ts';
import type { DataType } from '../../ir/data-type.ts';
import type { Model, Node, ValueInfo } from '../../ir/model.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import { evaluatedAs, type MilCall } from './mil-call.ts';
import { MIL_ROWS } from './mil-rows.ts';

/**
 * How floats are computed: `float32` keeps what fp16 would round; `rounded` rounds behind every operation that
 * makes fp16, which shows overflow. (A plain FP16 graph does not: onnxruntime computes it in float32.)
 */
export type EvaluationMode = 'float32' | 'rounded';

const OPSET = 20;

/**
 * Returns the ONNX model of a program's main function, with the same names of inputs and outputs; fp16 ones
 * become float32. Throws UnsupportedError for an operator without a row.
 */
export function milToOnnx(model: MilModel, mode: EvaluationMode): Model {
  const main = model.functions.find(({ name }) => name === 'main');
  if (main === undefined)
    throw new UnsupportedError('Core ML program: has no function main. Write it again.');
  const state: State = {
    mode,
    nodes: [],
    initializers: new Map(),
    values: new Map(),
    types: new Map(),
    count: 0,
  };
  for (const { name, type } of main.inputs) state.types.set(name, type);
  for (const operation of main.operations) {
    for (const { name, type } of operation.outputs) state.types.set(name, type);
    if (operation.type === 'const') defineConstant(state, operation);
    else lowerOperation(state, operation);
  }
  const outputs = main.outputs.map((name) => info({ name, type: state.types.get(name)! }));
  return {
    irVersion: 9,
    opsetImports: [{ domain: '', version: OPSET }],
    functions: [],
    storage: { external: false, files: [] },
    graph: {
      name: 'main',
      inputs: main.inputs.map(info),
      outputs,
      nodes: state.nodes,
      initializers: state.initializers,
      sparseInitializers: [],
      valueInfo: new Map(),
    },
  };
}

interface State {
  readonly mode: EvaluationMode;
  readonly nodes: Node[];
  readonly initializers: Map<string, Tensor>;
  readonly values: Map<string, MilValue>;
  readonly types: Map<string, MilTensorType>;
  count: number;
}

function info({ name, type }: MilNamedType): ValueInfo {
  return {
    name,
    type: { kind: 'tensor', dataType: evaluatedAs(type.dataType), shape: [...type.dims] },
  };
}

function addNode(
  state: State,
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  literals: Readonly<Record<string, AttributeLiteral>> = {},
): void {
  state.nodes.push({
    name: `${opType}_${state.nodes.length}`,
    opType,
    domain: '',
    inputs,
    outputs,
    attributes: attributes(literals),
  });
}

/** Constants in fp16 stay so and are widened by a Cast, which onnxruntime folds. */
function defineConstant(state: State, { outputs, attributes: given }: MilOperation): void {
  const name = outputs[0]?.name ?? '';
  const value = given.get('val');
  if (value === undefined || value.data.kind === 'strings') {
    if (value !== undefined) state.values.set(name, value);
    return;
  }
  state.values.set(name, value);
  addConstant(state, name, value);
}

function addConstant(state: State, name: string, { type, data }: MilValue): void {
  const dims = type.dims.map(Number);
  if (data.kind === 'numbers') {
    const dataType = evaluatedAs(type.dataType);
    state.initializers.set(name, smallTensor(name, dataType, dims, data.numbers));
    return;
  }
  if (data.kind !== 'blob') return;
  if (type.dataType !== 'fp16') {
    const dataType = evaluatedAs(type.dataType);
    state.initializers.set(name, { name, dataType, dims, source: data.source });
    return;
  }
  const stored = `${name}__fp16`;
  state.initializers.set(stored, { name: stored, dataType: 'float16', dims, source: data.source });
  addNode(state, 'Cast', [stored], [name], { to: 1n });
}

function smallTensor(
  name: string,
  dataType: DataType,
  dims: readonly number[],
  values: readonly number[],
): Tensor {
  const bytes = (array: ArrayBufferView): Uint8Array =>
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  if (dataType === 'float32')
    return inlineTensor(name, dataType, dims, bytes(Float32Array.from(values)));
  if (dataType === 'int64')
    return inlineTensor(name, dataType, dims, bytes(BigInt64Array.from(values, BigInt)));
  if (dataType === 'int32')
    return inlineTensor(name, dataType, dims, bytes(Int32Array.from(values)));
  return inlineTensor(
    name,
    dataType,
    dims,
    dataType === 'int8' ? bytes(Int8Array.from(values)) : Uint8Array.from(values),
  );
}

function lowerOperation(state: State, operation: MilOperation): void {
  const row = MIL_ROWS[operation.type];
  if (row === undefined) {
    throw new UnsupportedError(
      `Core ML program: the reference evaluation knows no ${operation.type} (got ${operation.outputs[0]?.name}). Run it on a Mac.`,
    );
  }
  const rounds = state.mode === 'rounded' && operation.outputs[0]?.type.dataType === 'fp16';
  const made = rounds
    ? operation.outputs.map(({ name }) => `${name}__exact`)
    : operation.outputs.map(({ name }) => name);
  row(callOf(state, operation, made));
  if (!rounds) return;
  operation.outputs.forEach(({ name }, index) => {
    addNode(state, 'Cast', [made[index]!], [`${name}__rounded`], { to: 10n });
    addNode(state, 'Cast', [`${name}__rounded`], [name], { to: 1n });
  });
}

function callOf(state: State, operation: MilOperation, made: readonly string[]): MilCall {
  const outputs = made.map((name, index) => ({ ...operation.outputs[index]!, name }));
  const argumentsOf = (parameter: string): readonly MilArgument[] => {
    const list = operation.inputs.get(parameter);
    const attribute = operation.attributes.get(parameter);
    const found = list ?? (attribute === undefined ? undefined : [attribute]);
    if (found === undefined)
      throw new UnsupportedError(
        `Core ML program: ${operation.type} ${operation.outputs[0]?.name} lacks ${parameter}. Write it again.`,
      );
    return found;
  };
  const dataOf = (parameter: string): MilValue['data'] => {
    const [argument] = argumentsOf(parameter);
    const value = typeof argument === 'string' ? state.values.get(argument) : argument;
    if (value === undefined)
      throw new UnsupportedError(
        `Core ML program: ${operation.type} ${operation.outputs[0]?.name} computes ${parameter} in a run, which the reference evaluation does not know. Run it on a Mac.`,
      );
    return value.data;
  };
  const nameOf = (argument: MilArgument): string => {
    if (typeof argument === 'string') return argument;
    const name = `inline_${state.count++}`;
    addConstant(state, name, argument);
    return name;
  };
  return {
    operation: { ...operation, outputs },
    output: made[0]!,
    input: (parameter) => nameOf(argumentsOf(parameter)[0]!),
    inputs: (parameter) => argumentsOf(parameter).map(nameOf),
    typeOf(parameter) {
      const [argument] = argumentsOf(parameter);
      return typeof argument === 'string' ? state.types.get(argument)! : argument!.type;
    },
    numbers(parameter) {
      const data = dataOf(parameter);
      if (data.kind === 'numbers') return data.numbers;
      throw new UnsupportedError(
        `Core ML program: ${operation.type} keeps ${parameter} in the weight file (got ${printMilType(operation.outputs[0]!.type)}, expected it in place). Write it again.`,
      );
    },
    text(parameter) {
      const data = dataOf(parameter);
      return data.kind === 'strings' ? (data.strings[0] ?? '') : '';
    },
    constant(dataType, values, dims = [values.length]) {
      const name = `aux_${state.count++}`;
      state.initializers.set(name, smallTensor(name, dataType, dims, values));
      return name;
    },
    emit(opType, inputs, literals, wanted) {
      const names = wanted ?? [`aux_${state.count++}`];
      addNode(state, opType, inputs, names, literals);
      return names[0]!;
    },
  };
}
