/**
 * The rules that a package must keep beside those of its encoding, which the reader holds: what Apple's
 * compiler refuses, and what its Python front end lets pass.
 */
import {
  MAX_RANK,
  type MilFunction,
  type MilModel,
  type MilOperation,
  printMilType,
} from './mil.ts';
import type { Known, MilFinding } from './mil-finding.ts';
import { isConstexpr } from './signatures.ts';
import { validateInterface } from './validate-interface.ts';
import { validateOperation } from './validate-operation.ts';

/** Words that Apple's parser keeps for itself. */
export const RESERVED_WORDS: ReadonlySet<string> = new Set(
  'any bool program func tensor list dict tuple true false string bf16 fp16 fp32 fp64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 state'.split(
    ' ',
  ),
);
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_@]*$/;

/** Returns every broken rule of a model, in the order of the program; empty when it may be written. */
export function validateMil(model: MilModel): readonly MilFinding[] {
  const findings: MilFinding[] = [];
  const main = model.functions.find(({ name }) => name === 'main');
  if (main === undefined)
    return [{ rule: 'V8', where: 'program', message: 'has no function main' }];
  for (const one of model.functions) validateFunction(model, one, findings);
  return [...findings, ...validateInterface(model, main)];
}

function validateFunction(model: MilModel, one: MilFunction, findings: MilFinding[]): void {
  const known = new Map<string, Known>();
  const define = (name: string, entry: Known): void => {
    const report = (message: string): void => {
      findings.push({ rule: 'V4', where: name, message });
    };
    if (!IDENTIFIER.test(name)) report('is no identifier (expected letters, digits and _)');
    if (RESERVED_WORDS.has(name)) report('is a word of the language');
    if (known.has(name)) report('is defined twice');
    known.set(name, entry);
    if (entry.from !== 'const' && entry.type.dims.length > MAX_RANK) {
      findings.push({
        rule: 'V7',
        where: name,
        message: `has rank ${entry.type.dims.length} (expected at most ${MAX_RANK})`,
      });
    }
  };
  for (const { name, type } of one.inputs) define(name, { type, value: undefined, from: 'input' });
  for (const operation of one.operations) {
    if (operation.type === 'const') validateConst(operation, findings);
    else {
      const where = `${operation.type} ${operation.outputs[0]?.name ?? ''}`;
      validateOperation(model.specificationVersion, operation, known, (rule, message) => {
        findings.push({ rule, where, message });
      });
    }
    const isConst = operation.type === 'const' || isConstexpr(operation.type);
    for (const { name, type } of operation.outputs) {
      define(name, {
        type,
        value: operation.attributes.get('val'),
        from: isConst ? 'const' : 'op',
      });
    }
  }
  const seen = new Set<string>();
  for (const name of one.outputs) {
    const report = (message: string): void =>
      void findings.push({ rule: 'V4', where: `output ${name}`, message });
    const from = known.get(name)?.from;
    if (from === undefined) report('is made by no operation');
    if (from === 'input' || from === 'const')
      report(
        `is ${from === 'input' ? 'an input' : 'a constant'} (expected what an operation makes)`,
      );
    if (seen.has(name)) report('is given out twice');
    seen.add(name);
  }
}

function validateConst(
  { attributes, inputs, outputs }: MilOperation,
  findings: MilFinding[],
): void {
  const where = outputs[0]?.name ?? 'const';
  const value = attributes.get('val');
  if (value === undefined || outputs.length !== 1 || inputs.size > 0) {
    findings.push({ rule: 'V5', where, message: 'a const needs val, one output and no input' });
    return;
  }
  if (printMilType(value.type) !== printMilType(outputs[0]!.type)) {
    findings.push({
      rule: 'V6',
      where,
      message: `is declared ${printMilType(outputs[0]!.type)}, its value is ${printMilType(value.type)}`,
    });
  }
  const numbers = value.data.kind === 'numbers' ? value.data.numbers : [];
  if (value.type.dataType === 'fp16' && numbers.some((number) => Math.abs(number) > 65504)) {
    findings.push({
      rule: 'V12',
      where,
      message: 'holds a number that fp16 cannot (expected at most 65504)',
    });
  }
}
