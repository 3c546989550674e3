/** Builds the operations of a program: names them, fills every parameter, infers every type. */
import { UnsupportedError } from '../../errors.ts';
import { inferMilTypes } from '../../formats/coreml/infer.ts';
import {
  type MilArgument,
  type MilDataType,
  type MilOperation,
  type MilTensorType,
  type MilValue,
  milText,
} from '../../formats/coreml/mil.ts';
import { MilShapeError } from '../../formats/coreml/mil-shape-error.ts';
import {
  isConstexpr,
  LATER_PARAMETERS,
  type MilParameter,
  signatureOf,
} from '../../formats/coreml/signatures.ts';
import { RESERVED_WORDS } from '../../formats/coreml/validate.ts';
import { fitNumber } from './convert-constant.ts';

/** A value of the program that is being built. */
export interface Ref {
  readonly name: string;
  readonly type: MilTensorType;
  /** The constant itself, when it is one. */
  readonly value?: MilValue | undefined;
}

/** A constant spelled in place: vectors of integers and booleans, or a scalar of the parameter's type. */
export type Literal = number | boolean | string | readonly number[] | readonly boolean[];

/** What an operation is given, by parameter. */
export type Operands = Readonly<Record<string, Ref | readonly Ref[] | Literal>>;

/** The operations so far, and how to add one. */
export interface Builder {
  readonly specification: number;
  readonly operations: readonly MilOperation[];
  /** Returns a free identifier like the wanted name. */
  nameFor(wanted: string): string;
  /** Adds a constant. */
  constant(wanted: string, value: MilValue): Ref;
  /** Adds an operation with one output. */
  emit(type: string, wanted: string, operands: Operands): Ref;
  /** Adds an operation with several outputs. */
  emitAll(type: string, wanted: readonly string[], operands: Operands): readonly Ref[];
}

/** Returns a builder for the opset of a specification version; `taken` are names of inputs and outputs. */
export function createBuilder(specification: number, taken: Iterable<string>): Builder {
  const operations: MilOperation[] = [];
  const names = new Set(taken);
  const literals = new Map<string, Ref>();
  const nameFor = (wanted: string): string => {
    const clean = identifier(wanted);
    let name = clean;
    for (let suffix = 1; names.has(name); suffix++) name = `${clean}_${suffix}`;
    names.add(name);
    return name;
  };
  const constant = (wanted: string, value: MilValue): Ref => {
    const name = nameFor(wanted);
    const attributes = new Map([
      ['name', milText(name)],
      ['val', value],
    ]);
    operations.push({
      type: 'const',
      inputs: new Map(),
      attributes,
      outputs: [{ name, type: value.type }],
    });
    return { name, type: value.type, value };
  };
  const literal = (parameter: MilParameter, given: Literal, dataType: MilDataType): Ref => {
    const list = typeof given === 'object' ? given : [given];
    const dims = typeof given === 'object' ? [given.length] : [];
    const key = JSON.stringify([dataType, dims, list]);
    const known = literals.get(key);
    if (known !== undefined) return known;
    const data: MilValue['data'] =
      dataType === 'string'
        ? { kind: 'strings', strings: list.map(String) }
        : {
            kind: 'numbers',
            numbers: list.map((value) => fitNumber(Number(value), dataType, parameter.name)),
          };
    const made = constant(`const_${parameter.name}`, { type: { dataType, dims }, data });
    literals.set(key, made);
    return made;
  };
  const emitAll = (type: string, wanted: readonly string[], operands: Operands): readonly Ref[] => {
    const given = bind(type, specification, operands, literal);
    const types = inferred(type, given);
    const outputs = types.map((of, index) => ({ name: nameFor(wanted[index] ?? type), type: of }));
    const name = milText(outputs[0]?.name ?? type);
    operations.push(
      isConstexpr(type)
        ? constexpr(type, given, outputs, specification)
        : {
            type,
            outputs,
            inputs: new Map(
              [...given].map(([parameter, refs]) => [parameter, refs.map((ref) => ref.name)]),
            ),
            attributes: new Map([['name', name]]),
          },
    );
    return outputs;
  };
  return {
    specification,
    operations,
    nameFor,
    constant,
    emitAll,
    emit: (type, wanted, operands) => emitAll(type, [wanted], operands)[0]!,
  };
}

/** Parameters of constants that are made at load stand in the operation itself. */
function constexpr(
  type: string,
  given: ReadonlyMap<string, readonly Ref[]>,
  outputs: MilOperation['outputs'],
  specification: number,
): MilOperation {
  const name = milText(outputs[0]?.name ?? type);
  const values = [...given].map(([parameter, refs]): [string, MilValue] => [
    parameter,
    refs[0]!.value!,
  ]);
  return specification < 9
    ? { type, outputs, inputs: new Map(), attributes: new Map([['name', name], ...values]) }
    : {
        type,
        outputs,
        inputs: new Map(
          values.map(([parameter, value]): [string, MilArgument[]] => [parameter, [value]]),
        ),
        attributes: new Map([['name', name]]),
      };
}

function bind(
  type: string,
  specification: number,
  operands: Operands,
  literal: (parameter: MilParameter, given: Literal, dataType: MilDataType) => Ref,
): ReadonlyMap<string, readonly Ref[]> {
  const signature = signatureOf(type);
  if (signature === undefined) throw new Error(`no MIL operator ${type}`);
  const later = (LATER_PARAMETERS[type] ?? []).filter(([since]) => since <= specification);
  const parameters: MilParameter[] = [
    ...signature.parameters,
    ...later.map(
      ([, name, fallback]): MilParameter => ({
        name,
        types: ['bool'],
        group: undefined,
        isConstant: true,
        fallback,
      }),
    ),
  ];
  const groups = new Map<string, MilDataType>();
  let first: MilDataType | undefined;
  for (const { name, group } of parameters) {
    const refs = refsOf(operands[name]);
    const dataType = refs?.[0]?.type.dataType;
    if (dataType === undefined) continue;
    first ??= dataType;
    if (group !== undefined && !groups.has(group)) groups.set(group, dataType);
  }
  return new Map(
    parameters.map((parameter) => {
      const { name, types, group, fallback } = parameter;
      const operand = operands[name] ?? fallback;
      if (operand === undefined) throw new Error(`${type} lacks ${name}`);
      const refs = refsOf(operand);
      if (refs !== undefined) return [name, refs];
      const wanted = groups.get(group ?? '') ?? first ?? types[0]!;
      const dataType = types.includes(wanted) ? wanted : types[0]!;
      return [name, [literal(parameter, operand as Literal, dataType)]];
    }),
  );
}

/** Sizes that do not go together are the model's, or those that were asked for: no defect of ours. */
function inferred(
  type: string,
  given: ReadonlyMap<string, readonly Ref[]>,
): ReturnType<typeof inferMilTypes> {
  try {
    return inferMilTypes(operandsOf(type, given));
  } catch (error) {
    if (!(error instanceof MilShapeError)) throw error;
    throw new UnsupportedError(`has sizes that do not fit (${type}: ${error.message})`, {
      cause: error,
    });
  }
}

function refsOf(operand: Operands[string] | undefined): readonly Ref[] | undefined {
  if (typeof operand !== 'object') return undefined;
  if (!Array.isArray(operand)) return [operand as Ref];
  return typeof operand[0] === 'object' ? (operand as readonly Ref[]) : undefined;
}

function operandsOf(
  type: string,
  given: ReadonlyMap<string, readonly Ref[]>,
): Parameters<typeof inferMilTypes>[0] {
  const dataOf = (parameter: string): MilValue['data'] | undefined =>
    given.get(parameter)?.[0]?.value?.data;
  return {
    type,
    typeOf: (parameter) => given.get(parameter)![0]!.type,
    listOf: (parameter) => (given.get(parameter) ?? []).map((ref) => ref.type),
    numbers(parameter) {
      const data = dataOf(parameter);
      return data?.kind === 'numbers' ? data.numbers : undefined;
    },
    text(parameter) {
      const data = dataOf(parameter);
      return data?.kind === 'strings' ? data.strings[0] : undefined;
    },
  };
}

/** Returns a name as MIL takes it: `/layers.0/MatMul_output_0` gives `_layers_0_MatMul_output_0`. */
export function identifier(name: string): string {
  const clean = name.replace(/[^A-Za-z0-9_]/g, '_');
  const begun = /^[A-Za-z_]/.test(clean) ? clean : `_${clean}`;
  return RESERVED_WORDS.has(begun) ? `${begun}_workaround` : begun;
}
