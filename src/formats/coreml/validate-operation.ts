import { inferMilTypes } from './infer.ts';
import { type MilArgument, type MilOperation, type MilTensorType, printMilType } from './mil.ts';
import type { Known, ReportMil } from './mil-finding.ts';
import type { Operands } from './operands.ts';
import { isConstexpr, LATER_PARAMETERS, type MilParameter, signatureOf } from './signatures.ts';

/** Notes what is wrong with one operation: operator, parameters, element types, and the types it declares. */
export function validateOperation(
  specificationVersion: number,
  operation: MilOperation,
  known: ReadonlyMap<string, Known>,
  report: ReportMil,
): void {
  const signature = signatureOf(operation.type);
  if (signature === undefined) {
    report('V5', 'is no operator that is known here');
    return;
  }
  const { since, parameters } = signature;
  if (since > specificationVersion) {
    report('V5', `needs specification version ${since} (got ${specificationVersion})`);
    return;
  }
  const inAttributes = isConstexpr(operation.type) && specificationVersion < 9;
  const given = inAttributes ? attributeArguments(operation) : operation.inputs;
  const later = (LATER_PARAMETERS[operation.type] ?? []).filter(
    ([first]) => first <= specificationVersion,
  );
  const wanted = [...parameters.map(({ name }) => name), ...later.map(([, name]) => name)];
  for (const name of wanted) {
    if (!given.has(name)) report('V5', `lacks ${name}, which Apple's compiler asks for`);
  }
  for (const name of given.keys()) {
    if (!wanted.includes(name)) report('V5', `has ${name}, which it does not take`);
  }
  const groups = new Map<string, string>();
  for (const parameter of parameters) {
    for (const argument of given.get(parameter.name) ?? []) {
      const entry = lookUp(argument, known);
      if (entry !== undefined) validateArgument(parameter, entry, groups, report);
      else report('V4', `reads ${String(argument)}, which nothing before it makes`);
    }
  }
  validateTypes(operation, given, known, report);
}

function validateArgument(
  { name, types, group, isConstant }: MilParameter,
  { type: { dataType }, from }: Known,
  groups: Map<string, string>,
  report: ReportMil,
): void {
  if (!types.includes(dataType)) {
    report('V5', `takes no ${dataType} as ${name} (expected ${types.join(', ')})`);
  }
  if (isConstant && from !== 'const') report('V5', `needs a constant as ${name}`);
  if (group === undefined) return;
  const other = groups.get(group) ?? dataType;
  if (other !== dataType) report('V5', `mixes ${other} and ${dataType} (${name})`);
  groups.set(group, other);
}

function validateTypes(
  operation: MilOperation,
  given: ReadonlyMap<string, readonly MilArgument[]>,
  known: ReadonlyMap<string, Known>,
  report: ReportMil,
): void {
  try {
    const inferred = inferMilTypes(operandsOf(operation.type, given, known));
    if (inferred.length !== operation.outputs.length) {
      report('V6', `has ${operation.outputs.length} outputs (expected ${inferred.length})`);
    }
    operation.outputs.forEach(({ name, type }, index) => {
      const expected = inferred[index];
      if (expected === undefined || fits(type, expected)) return;
      report(
        'V6',
        `declares ${name} as ${printMilType(type)} (expected ${printMilType(expected)})`,
      );
    });
  } catch (error) {
    report('V6', error instanceof Error ? error.message : String(error));
  }
}

function fits(declared: MilTensorType, inferred: MilTensorType): boolean {
  return (
    declared.dataType === inferred.dataType &&
    declared.dims.length === inferred.dims.length &&
    declared.dims.every(
      (dim, axis) =>
        dim === undefined || inferred.dims[axis] === undefined || dim === inferred.dims[axis],
    )
  );
}

function attributeArguments({
  attributes,
}: MilOperation): ReadonlyMap<string, readonly MilArgument[]> {
  return new Map(
    [...attributes].filter(([name]) => name !== 'name').map(([name, value]) => [name, [value]]),
  );
}

function lookUp(argument: MilArgument, known: ReadonlyMap<string, Known>): Known | undefined {
  return typeof argument === 'string'
    ? known.get(argument)
    : { type: argument.type, value: argument, from: 'const' };
}

/** Returns the operands of an operation over the values that are known before it. */
function operandsOf(
  type: string,
  given: ReadonlyMap<string, readonly MilArgument[]>,
  known: ReadonlyMap<string, Known>,
): Operands {
  const listOf = (parameter: string): readonly Known[] =>
    (given.get(parameter) ?? []).flatMap((argument) => lookUp(argument, known) ?? []);
  return {
    type,
    typeOf(parameter) {
      const [first] = listOf(parameter);
      if (first === undefined) throw new Error(`${parameter} is missing`);
      return first.type;
    },
    listOf: (parameter) => listOf(parameter).map((entry) => entry.type),
    numbers(parameter) {
      const data = listOf(parameter)[0]?.value?.data;
      return data?.kind === 'numbers' ? data.numbers : undefined;
    },
    text(parameter) {
      const data = listOf(parameter)[0]?.value?.data;
      return data?.kind === 'strings' ? data.strings[0] : undefined;
    },
  };
}
