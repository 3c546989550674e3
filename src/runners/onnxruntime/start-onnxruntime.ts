import { type Child, compiledEntry, startChild } from '../process/child.ts';
import type { CommandMap } from '../process/child-commands.ts';
import { requireOnnxruntime } from './onnxruntime-package.ts';

/**
 * Starts a child process in which onnxruntime runs, from the entry module `entry` beside the module at
 * `moduleUrl`. Throws UnavailableError when onnxruntime is not installed or has no binary for this
 * machine.
 */
export function startOnnxruntime<C extends CommandMap>(moduleUrl: string, entry: string): Child<C> {
  requireOnnxruntime();
  return startChild<C>(compiledEntry(moduleUrl, entry));
}
