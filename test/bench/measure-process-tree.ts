import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What a command took, with all the processes that it started. */
export interface TreeMeasurement {
  readonly exitCode: number | null;
  readonly seconds: number;
  /** Largest sum of the resident sets of all processes; pages that two of them share count twice. */
  readonly peakRssBytes: number;
  /** Largest sum of their anonymous memory: what cannot be read again from a file. */
  readonly peakAnonymousBytes: number;
  readonly stderr: string;
}

/** Runs a command and samples the memory of its process tree 20 times a second. Linux only. */
export function measureProcessTree(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<TreeMeasurement> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    let peakRssBytes = 0;
    let peakAnonymousBytes = 0;
    const timer = setInterval(() => {
      const sums = treeMemory(child.pid ?? 0);
      peakRssBytes = Math.max(peakRssBytes, sums.rss);
      peakAnonymousBytes = Math.max(peakAnonymousBytes, sums.anonymous);
    }, 50);
    child.on('error', reject);
    child.on('close', (exitCode) => {
      clearInterval(timer);
      const seconds = (performance.now() - start) / 1000;
      resolve({ exitCode, seconds, peakRssBytes, peakAnonymousBytes, stderr });
    });
  });
}

function treeMemory(root: number): { readonly rss: number; readonly anonymous: number } {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // The fields after the command's name, which may hold anything but ends with the last ")".
    const parent = Number(readProc(name, 'stat').split(') ').at(-1)?.split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  let rss = 0;
  let anonymous = 0;
  const waiting = [root];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    waiting.push(...(children.get(id) ?? []));
    const status = readProc(String(id), 'status');
    rss += kilobytes(status, 'VmRSS') * 1024;
    anonymous += kilobytes(status, 'RssAnon') * 1024;
  }
  return { rss, anonymous };
}

/** Empty for a process that has just ended. */
function readProc(id: string, file: string): string {
  try {
    return readFileSync(`/proc/${id}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function kilobytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
}
