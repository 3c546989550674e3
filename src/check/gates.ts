import * as z from 'zod';
import { GateFailedError, UsageError } from '../errors.ts';
import type { CheckResult, GateResult } from './check-result.ts';
import { GATE_TABLE, type GateDefinition, type GateInput } from './gate-table.ts';

type GateName = keyof typeof GATE_TABLE;

/**
 * What the model must reach, as written in a config: numbers, `0.5pt` or `1.2%` of top-1 (both are
 * points, 100 * (source - artifact), never a relative drop), `99%` of agreement. Absent gates ask
 * for nothing.
 */
export type Gates = {
  readonly [Gate in GateName]?: z.output<(typeof GATE_TABLE)[Gate]['limit']> | undefined;
};

const GATE_NAMES = Object.keys(GATE_TABLE) as readonly GateName[];

const limits = GATE_NAMES.map((gate) => {
  const { limit, about }: GateDefinition = GATE_TABLE[gate];
  return [gate, limit.optional().describe(about)] as const;
});

/** Schema of the `gates` of a config. */
export const GATES_SCHEMA = z.strictObject(Object.fromEntries(limits)) as unknown as z.ZodType<
  Gates,
  Gates
>;

/**
 * Returns the gates of command line options such as `maxTop1Drop=0.5pt` and `minSpeedup=1.5`.
 * Throws UsageError that names the option, and the gates there are.
 */
export function parseGates(options: readonly string[]): Gates {
  const entries = options.map((option) => {
    const [name = '', limit = '', ...rest] = option.split('=').map((part) => part.trim());
    if (!GATE_NAMES.includes(name as GateName) || rest.length > 0) {
      throw new UsageError(
        `--gate ${option}: is no gate (got ${JSON.stringify(name)}, expected <name>=<limit> with one of ${GATE_NAMES.join(', ')}).`,
      );
    }
    const isNumber = limit !== '' && !Number.isNaN(Number(limit));
    return [name, isNumber ? Number(limit) : limit] as const;
  });
  const parsed = GATES_SCHEMA.safeParse(Object.fromEntries(entries));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--gate ${String(issue?.path[0] ?? '')}: ${issue?.message ?? 'invalid'}`, {
    cause: parsed.error,
  });
}

/**
 * Returns one result per gate that is asked for, in the order of the table. A gate whose figure
 * was not measured fails. `minSpeedup` above 1 also fails when the 95 % interval of a scenario does
 * not exclude 1: a speedup that may be noise is none.
 */
export function evaluateGates(gates: Gates, input: GateInput): readonly GateResult[] {
  return GATE_NAMES.flatMap((gate) => {
    const limit = gates[gate];
    return limit === undefined ? [] : [evaluateGate(gate, limit, input)];
  });
}

function evaluateGate(gate: GateName, written: number | string, input: GateInput): GateResult {
  const { what, format, measure }: GateDefinition = GATE_TABLE[gate];
  const limit = parseLimit(gate, written);
  const isMax = gate.startsWith('max');
  const asked = `${isMax ? '<=' : '>='} ${format(limit)}`;
  const measured = measure(input, limit);
  if (typeof measured === 'string') {
    const text = `${gate}: ${what} was not measured, ${measured} (expected ${asked}).`;
    return { gate, limit: asked, measured: 'not measured', value: null, passed: false, text };
  }
  const { value, detail, unproven } = measured;
  const isWithin = isMax ? value <= limit : value >= limit;
  const notes = [detail, isWithin ? unproven : undefined].filter((note) => note !== undefined);
  const extra = notes.length > 0 ? `, ${notes.join(', ')}` : '';
  return {
    gate,
    limit: asked,
    measured: format(value),
    value,
    passed: isWithin && unproven === undefined,
    text: `${gate}: ${what} is ${format(value)} (expected ${asked}${extra}).`,
  };
}

/** Points of top-1 stay points, whichever sign they carry; any other percentage is a fraction. */
function parseLimit(gate: GateName, written: number | string): number {
  if (typeof written === 'number') return written;
  const value = Number.parseFloat(written);
  return gate === 'maxTop1Drop' ? value : value / 100;
}

/** Throws GateFailedError when a gate failed; the artifact and the reports stay. */
export function enforceGates(result: Pick<CheckResult, 'gates'>): void {
  const failed = result.gates.filter(({ passed }) => !passed);
  if (failed.length === 0) return;
  throw new GateFailedError(
    `check: ${failed.length} of ${result.gates.length} gates failed: ${failed.map(({ text }) => text).join(' ')}`,
  );
}
