/**
 * Python environments for tests that compare with Python tools. autoglm itself never runs Python;
 * nothing here is part of the package.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const runFile = promisify(execFile);

/** Where test tools keep what they downloaded or made; safe to delete. */
const CACHE_FOLDER = fileURLToPath(new URL('../../node_modules/.cache/autoglm/', import.meta.url));

/**
 * Returns the interpreter of a virtual environment with exactly these packages (`name==version`),
 * made on first use. Rejects with the reason when Python or the package index cannot be reached.
 */
async function pythonWith(packages: readonly string[]): Promise<string> {
  const wanted = [...packages].sort().join('\n');
  const id = createHash('sha256').update(wanted).digest('hex').slice(0, 12);
  const folder = join(CACHE_FOLDER, 'venv', id);
  const python =
    process.platform === 'win32'
      ? join(folder, 'Scripts', 'python.exe')
      : join(folder, 'bin', 'python');
  const ready = join(folder, 'ready.txt');
  if (existsSync(ready)) return python;
  await mkdir(folder, { recursive: true });
  await runFile(process.platform === 'win32' ? 'python' : 'python3', [
    '-m',
    'venv',
    '--clear',
    folder,
  ]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1'];
  await runFile(python, [...pip, ...packages], { maxBuffer: 64 * 2 ** 20 });
  writeFileSync(ready, `${wanted}\n`);
  return python;
}

/**
 * Like {@link pythonWith}, but on a machine without Python or network prints why and returns
 * undefined, so that the test can be skipped; where CI is set the reason is an error.
 */
export async function pythonOrSkip(packages: readonly string[]): Promise<string | undefined> {
  try {
    return await pythonWith(packages);
  } catch (error) {
    if (process.env['CI']) throw error;
    const [reason] = String(error).split('\n');
    console.warn(`SKIPPED, no Python with ${packages.join(', ')}: ${reason}`);
    return undefined;
  }
}

/** Runs a Python script and returns what it prints. Rejects with its error output. */
export async function runPython(python: string, args: readonly string[]): Promise<string> {
  const { stdout } = await runFile(python, [...args], { maxBuffer: 256 * 2 ** 20 });
  return stdout;
}
