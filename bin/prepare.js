/**
 * Makes a fresh clone ready: installs packages when package-lock.json is newer than the installed
 * tree, and compiles src/ when dist/ is missing or older. Uses Node's own modules only, because it
 * runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const installed = join(root, 'node_modules', '.package-lock.json');
const built = join(root, 'dist', '.tsbuildinfo');

if (isOlder(installed, [join(root, 'package.json'), join(root, 'package-lock.json')])) {
  run('npm', ['ci', '--no-audit', '--no-fund'], 'installing packages');
}
if (isOlder(built, [join(root, 'tsconfig.build.json'), ...filesUnder(join(root, 'src'))])) {
  run('npx', ['tsc', '-p', 'tsconfig.build.json'], 'building dist/');
}

function isOlder(target, sources) {
  if (!existsSync(target)) return true;
  const made = statSync(target).mtimeMs;
  return sources.some((source) => statSync(source).mtimeMs > made);
}

function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function run(command, args, what) {
  process.stderr.write(`autoglm: ${what} ...\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    process.stderr.write(`autoglm: ${what} failed (${command} ${args.join(' ')}).\n`);
    process.exit(1);
  }
}
