import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Sessions run in child processes that are compiled code: a stale dist/ would test yesterday's.
 * Type errors are printed but do not stop a test run under way; `npm test` and `npm run check`
 * have refused them before they get here.
 */
export default function prepare(): void {
  const script = fileURLToPath(new URL('../bin/prepare.js', import.meta.url));
  spawnSync(process.execPath, [script], { stdio: 'inherit' });
}
