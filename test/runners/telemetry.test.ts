import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { compiledEntry } from '../../src/runners/process/child.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { matMulModel, writeTiny } from './tiny-models.ts';

const LIBRARY = pathToFileURL(
  compiledEntry(
    new URL('../../src/runners/onnxruntime/onnxruntime-runner.ts', import.meta.url).href,
    'onnxruntime-runner',
  ),
).href;

/**
 * Opens a session through the library in a process of a user's: not in CI (which silences
 * onnxruntime by itself), with an empty home. Returns what was left in the temporary folder and home.
 */
function leftBySession(variables: Readonly<Record<string, string>>): readonly string[] {
  const folder = temporaryFolder();
  const script = `
    import { onnxruntimeRunner } from ${JSON.stringify(LIBRARY)};
    const session = await onnxruntimeRunner.load(process.argv[1], { device: 'cpu' });
    await session.close();`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script, writeTiny(matMulModel())], {
    env: { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, ...variables },
  });
  return readdirSync(folder, { recursive: true }).map(String).sort();
}

describe('a session of onnxruntime', () => {
  it('sends nothing anywhere and leaves the temporary folder and home empty', () => {
    expect(leftBySession({})).toEqual([]);
  });

  // Elsewhere events go another way, or leave no file.
  it.skipIf(process.platform !== 'linux')('does what the user has set all the same', () => {
    const left = leftBySession({ ORT_DISABLE_TELEMETRY: '0' });
    expect(left.some((name) => /^(\.ses|mat-debug-\d+\.log)$/.test(name))).toBe(true);
  });
});

it('sessions inside the test process are silent as well', () => {
  expect(process.env['ORT_DISABLE_TELEMETRY']).not.toBe(undefined);
});
