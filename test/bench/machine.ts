import { cpus } from 'node:os';
import { readInstructionSets } from '../../src/runners/instruction-sets.ts';

/** Says whether the CPU multiplies INT8 in one instruction, which decides what INT8 can gain. */
export function hasInt8Products(): boolean {
  const sets = readInstructionSets() ?? [];
  return sets.some((name) => /vnni|amx_int8|dotprod|i8mm/.test(name));
}

/** Returns one line on the machine that the figures of a bench belong to. */
export function describeMachine(): string {
  const sets = readInstructionSets()?.join(', ') ?? 'instruction sets unknown';
  return `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${cpus().length} threads, ${sets}, Node.js ${process.versions.node}`;
}
