import { type Child, compiledEntry, startChild } from './child.ts';
import type { CommandMap } from './child-commands.ts';
import { requireOnnxruntime } from './onnxruntime-package.ts';

/**
 * Starts a child process in which onnxruntime runs, from the entry module of that name. Throws
 * UnavailableError when onnxruntime is not installed or has no binary for this machine.
 */
export function startOnnxruntime<C extends CommandMap>(
  entry: 'session-process' | 'observer-process' | 'judge-process',
): Child<C> {
  requireOnnxruntime();
  return startChild<C>(compiledEntry(import.meta.url, entry));
}
