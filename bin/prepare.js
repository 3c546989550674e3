/**
 * Makes a fresh clone ready: installs packages when package-lock.json is not the one last
 * installed, and compiles src/ when dist/ is missing or older. Uses Node's own modules only,
 * because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = join(root, 'node_modules', '.autoglm-installed');
const built = join(root, 'dist', '.tsbuildinfo');

// Contents, not times: git and npm touch these files without changing them.
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  // Not `npm ci`: npm 11 refuses a lock file that lacks the optional binaries of platforms whose
  // packages a registry mirror does not carry, and installing by the lock needs none of them.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund'], 'installing packages');
  // A file of its own: node_modules may be a copy by hard links.
  rmSync(stamp, { force: true });
  writeFileSync(stamp, lock);
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
