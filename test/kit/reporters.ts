import type { Reporter } from '../../src/workflows/progress.ts';

/** A reporter that says nothing. */
export const silent: Reporter = { progress() {}, note() {}, warn() {} };

/** Returns a reporter that keeps what it is told. */
export function listeningReporter(): Reporter & {
  readonly warnings: string[];
  readonly notes: string[];
} {
  const warnings: string[] = [];
  const notes: string[] = [];
  return {
    warnings,
    notes,
    progress() {},
    note: (text) => notes.push(text),
    warn: (text) => warnings.push(text),
  };
}
