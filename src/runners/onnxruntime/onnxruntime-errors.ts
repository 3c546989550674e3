import {
  AutoglmError,
  FormatError,
  RunnerError,
  RunRefusedError,
  UnavailableError,
  UnsupportedError,
} from '../../errors.ts';
import { ChildCommandError } from '../process/child.ts';
import type { LoadOptions } from '../runner.ts';

/** Returns the error of a failed load as one sentence with the class that fits. */
export function loadError(path: string, options: LoadOptions, error: unknown): Error {
  if (!(error instanceof Error)) return new RunnerError(`${path}: ${String(error)}`);
  if (!(error instanceof ChildCommandError)) return prefixed(path, error);
  const said = oneSentence(error.message);
  if (
    /adapter|Failed to load shared library|backend not found|AppendExecutionProvider/.test(said)
  ) {
    return new UnavailableError(
      `device ${options.device}: onnxruntime cannot use it (${said}). Run "autoglm doctor" to see what this machine can run.`,
    );
  }
  if (/Could not find an implementation|NOT_IMPLEMENTED|Unsupported data type/i.test(said)) {
    return new UnsupportedError(`${path}: onnxruntime has no kernel for it (${said}).`);
  }
  if (/File doesn't exist/.test(said)) {
    return new FormatError(`${path}: there is no such file. Check the path.`);
  }
  return new FormatError(`${path}: onnxruntime refused the model (${said}).`);
}

const OUT_OF_MEMORY = /bad_alloc|failed to allocate|out of memory/i;

/**
 * Runs `act` on the model at `path` and names that file in whatever goes wrong. Throws
 * {@link RunRefusedError} for what onnxruntime refuses to compute, {@link RunnerError} when memory ran out.
 */
export async function withModelName<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (!(error instanceof ChildCommandError)) throw prefixed(path, error);
    const said = oneSentence(error.message);
    if (OUT_OF_MEMORY.test(said)) {
      throw new RunnerError(
        `${path}: onnxruntime ran out of memory (${said}). Use shorter samples, or a machine with more memory.`,
      );
    }
    throw new RunRefusedError(path, said);
  }
}

function prefixed(path: string, error: Error): Error {
  return error instanceof AutoglmError && !error.message.startsWith(path)
    ? new RunnerError(`${path}: ${error.message}`)
    : error;
}

/** Returns the runtime's message without source positions, line breaks and the closing period. */
export function oneSentence(message: string): string {
  return message
    .replace(/\/onnxruntime_src\/\S+\s.*? was false\.\s*/s, '')
    .replace(/\s+/g, ' ')
    .replace(/failed:(?=\S)/, 'failed: ')
    .trim()
    .replace(/\.$/, '');
}
