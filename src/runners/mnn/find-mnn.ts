import { tmpdir } from 'node:os';
import { runProgram } from '../process/living-processes.ts';

/** The version of MNN that autoglm's files are tested with. */
export const MNN_VERSION = '3.6.1';

/** A Python that has MNN. */
export interface MnnPython {
  readonly python: string;
  readonly version: string;
}

/**
 * Returns the interpreter that has MNN, or the reason why there is none and what to type. Tries `python` where it is
 * given, else the one that the environment variable AUTOGLM_MNN_PYTHON names, else `python3`.
 */
export async function findMnn(python?: string): Promise<MnnPython | string> {
  const fallback = process.platform === 'win32' ? 'python' : 'python3';
  const command = python ?? process.env['AUTOGLM_MNN_PYTHON'] ?? fallback;
  // Not in the user's folder: a file there that is called MNN.py would be taken for it.
  const options = { cwd: tmpdir(), env: process.env };
  const script = 'import numpy, MNN; print("MNN=" + MNN.version(), flush=True)';
  const { lastLine } = await runProgram(command, ['-c', script], options);
  const version = /^MNN=([\w.]+)$/.exec(lastLine)?.[1];
  if (version !== undefined) return { python: command, version };
  return (
    `${command} has no MNN (${lastLine}). Type "python3 -m venv mnn && mnn/bin/pip install MNN==${MNN_VERSION} numpy", ` +
    'and set AUTOGLM_MNN_PYTHON to mnn/bin/python.'
  );
}
