import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Sessions run in child processes that are compiled code: a stale dist/ would test yesterday's. */
export default function prepare(): void {
  const script = fileURLToPath(new URL('../bin/prepare.js', import.meta.url));
  const { status } = spawnSync(process.execPath, [script], { stdio: 'inherit' });
  if (status !== 0) throw new Error('bin/prepare.js failed: see the messages above.');
}
