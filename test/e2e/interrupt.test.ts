import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../formats/onnx/temporary-folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

it.each([
  { signal: 'SIGINT', code: 130 },
  { signal: 'SIGTERM', code: 143 },
] as const)(
  'a calibration ended by $signal takes its temporary files along',
  async ({ signal, code }) => {
    const folder = temporaryFolder();
    const model = join(root, 'fixtures/glm-nano/optimum');
    const data = join(root, 'calibration/text');
    const args = ['calibrate', model, '--data', data, '-o', join(folder, 'out')];
    const child = spawn(process.execPath, [join(root, 'bin/autoglm.js'), ...args], {
      env: { ...process.env, TMPDIR: folder },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    const temporary = (): readonly string[] =>
      readdirSync(folder).filter((name) => /^autoglm-/.test(name));
    while (temporary().length === 0 && child.exitCode === null) await sleep(20);
    child.kill(signal);
    expect(await ended).toBe(code);
    expect(temporary()).toEqual([]);
    expect(readdirSync(folder)).not.toContain('out');
  },
);
