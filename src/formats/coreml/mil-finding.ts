import type { MilTensorType, MilValue } from './mil.ts';

/** A broken rule: its number on the list of checks, where, and a sentence. */
export interface MilFinding {
  readonly rule: 'V3' | 'V4' | 'V5' | 'V6' | 'V7' | 'V8' | 'V9' | 'V11' | 'V12';
  readonly where: string;
  readonly message: string;
}

/** Notes one broken rule of the part that is being looked at. */
export type ReportMil = (rule: MilFinding['rule'], message: string) => void;

/** A value that a function has made so far. */
export interface Known {
  readonly type: MilTensorType;
  readonly value: MilValue | undefined;
  readonly from: 'input' | 'const' | 'op';
}
