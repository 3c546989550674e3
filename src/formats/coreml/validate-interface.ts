import {
  type MilFeature,
  type MilFunction,
  type MilModel,
  type MilTensorType,
  milElementCount,
  printMilType,
} from './mil.ts';
import type { MilFinding } from './mil-finding.ts';

/** From here on weight files have failed to load. */
const MAX_WEIGHT_BYTES: number = 2 ** 31;

type Types = ReadonlyMap<string, MilTensorType>;

/** Returns what is wrong between what apps see and the main function, and with the size of the weights. */
export function validateInterface(model: MilModel, main: MilFunction): readonly MilFinding[] {
  const findings: MilFinding[] = [];
  const report = (rule: MilFinding['rule'], where: string, message: string): void => {
    findings.push({ rule, where, message });
  };
  const namesOf = (list: readonly { readonly name: string }[]): string =>
    list.map(({ name }) => name).join();
  if (model.outputs.length === 0) report('V8', 'interface', 'has no output');
  if (namesOf(model.inputs) !== namesOf(main.inputs))
    report('V8', 'interface', 'names other inputs than the function');
  if (namesOf(model.outputs) !== main.outputs.join())
    report('V8', 'interface', 'names other outputs than the function');
  const made = [...main.inputs, ...main.operations.flatMap(({ outputs }) => outputs)];
  const types: Types = new Map(made.map(({ name, type }) => [name, type]));
  for (const feature of [...model.inputs, ...model.outputs]) {
    for (const [rule, message] of featureFaults(feature, types, model.specificationVersion))
      report(rule, feature.name, message);
  }
  for (const { name, shape } of model.inputs) {
    if (shape === undefined) report('V8', name, 'is an input without a shape');
  }
  const bytes = storedBytes(main);
  if (bytes >= MAX_WEIGHT_BYTES)
    report('V11', 'weight.bin', `is too large (got ${bytes} bytes, expected less than 2 GiB)`);
  return findings;
}

function* featureFaults(
  { name, dataType, shape, ranges }: MilFeature,
  types: Types,
  specification: number,
): Generator<readonly ['V8' | 'V9', string]> {
  const type = types.get(name);
  if (type !== undefined && type.dataType !== dataType)
    yield ['V8', `is ${dataType} for apps and ${type.dataType} in the program`];
  if (dataType === 'fp16' && specification < 7)
    yield ['V8', 'is fp16, which apps can pass from iOS 16 on'];
  if (type !== undefined && shape !== undefined && differs(type, shape)) {
    yield ['V8', `has shape [${shape}] for apps and ${printMilType(type)} in the program`];
  }
  for (const [axis, [least, most]] of (ranges ?? []).entries()) {
    const size = shape?.[axis] ?? 0;
    if (most < 0) yield ['V9', 'has an axis without an upper bound'];
    else if (size < least || size > most)
      yield [
        'V9',
        `has a default size outside its range (got ${size}, expected ${least} to ${most})`,
      ];
  }
}

function differs({ dims }: MilTensorType, shape: readonly number[]): boolean {
  return (
    dims.length !== shape.length ||
    dims.some((dim, axis) => dim !== undefined && dim !== shape[axis])
  );
}

function storedBytes({ operations }: MilFunction): number {
  let bytes = 0;
  for (const { attributes } of operations) {
    for (const { data, type } of attributes.values())
      if (data.kind === 'blob' && milElementCount(type.dims) !== undefined)
        bytes += data.source.byteLength;
  }
  return bytes;
}
