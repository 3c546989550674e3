import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Instruction sets that decide how fast INT8 is, by the flag the operating system prints. */
const LINUX_FLAGS: Readonly<Record<string, string>> = {
  avx2: 'avx2',
  avx_vnni: 'avx_vnni',
  avx512f: 'avx512f',
  avx512_vnni: 'avx512_vnni',
  avx512_bf16: 'avx512_bf16',
  avx512_fp16: 'avx512_fp16',
  amx_int8: 'amx_int8',
  amx_bf16: 'amx_bf16',
  // ARM: FEAT_AdvSIMD, FEAT_DotProd, FEAT_I8MM, FEAT_FP16, FEAT_SVE.
  asimd: 'neon',
  asimddp: 'neon_dotprod',
  i8mm: 'neon_i8mm',
  asimdhp: 'neon_fp16',
  sve: 'sve',
};

const MAC_KEYS: Readonly<Record<string, string>> = {
  'hw.optional.avx2_0': 'avx2',
  'hw.optional.neon': 'neon',
  'hw.optional.arm.FEAT_DotProd': 'neon_dotprod',
  'hw.optional.arm.FEAT_I8MM': 'neon_i8mm',
  'hw.optional.arm.FEAT_FP16': 'neon_fp16',
  'hw.optional.arm.FEAT_SME': 'sme',
};

/**
 * Returns the instruction sets of this CPU that matter for INT8 inference (`avx512_vnni`,
 * `neon_dotprod` ...), or undefined where the system does not tell (Windows).
 */
export function readInstructionSets(): readonly string[] | undefined {
  try {
    if (process.platform === 'linux') {
      return parseCpuInfo(readFileSync('/proc/cpuinfo', 'utf8'));
    }
    if (process.platform === 'darwin') {
      return parseSysctl(execFileSync('sysctl', ['hw.optional'], { encoding: 'utf8' }));
    }
  } catch {
    // A sandbox without /proc or sysctl: the same as a system that does not tell.
  }
  return undefined;
}

/** Returns the instruction sets named by the first processor of a /proc/cpuinfo. */
export function parseCpuInfo(text: string): readonly string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? '';
  const flags = new Set(line.split(/\s+/));
  return Object.entries(LINUX_FLAGS).flatMap(([flag, name]) => (flags.has(flag) ? [name] : []));
}

/** Returns the instruction sets that `sysctl hw.optional` reports as 1. */
export function parseSysctl(text: string): readonly string[] {
  const present = new Set(
    text.split('\n').flatMap((line) => /^(\S+):\s*1$/.exec(line.trim())?.[1] ?? []),
  );
  return Object.entries(MAC_KEYS).flatMap(([key, name]) => (present.has(key) ? [name] : []));
}
