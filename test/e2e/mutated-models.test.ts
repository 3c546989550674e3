import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { type Child, startChild } from '../../src/runners/process/child.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { mutateModel, seededRandom } from '../models/mutate-model.ts';

/**
 * `AUTOGLM_MUTATIONS=10000` makes so many copies, `AUTOGLM_MUTATED_MODELS` names a folder whose .onnx
 * files up to 1 MB are taken instead of the fixtures, and `AUTOGLM_KEEP_MUTATIONS` one for the copies that fail.
 */
const COUNT = Number(process.env['AUTOGLM_MUTATIONS'] ?? 400);
const MODELS = process.env['AUTOGLM_MUTATED_MODELS'] ?? join(root, 'fixtures');
const KEEP = process.env['AUTOGLM_KEEP_MUTATIONS'];
const SEED = Number(process.env['AUTOGLM_MUTATION_SEED'] ?? 1);

/** Done; usage, input refused, unsupported. */
const CODES = [0, 2, 4, 5];
const CPU_SECONDS = 5;
/** More than that on a busy machine, to tell slow from never. */
const WALL_SECONDS = 60;
const RECIPES = ['w8a8', 'w8a16', 'w4a16-g32', 'w8a8-dynamic', 'w8a8-full'];

type Commands = {
  run: {
    input: readonly string[];
    output: { readonly code: number; readonly stderr: string; readonly cpuSeconds: number };
  };
};

const start = (): Child<Commands> =>
  startChild(fileURLToPath(new URL('./mutated-models-process.js', import.meta.url)));

/** How many commands ended with each exit code. */
const ends = new Map<number, number>();

/** Returns what is wrong with how a command ended, or undefined. */
async function complaint(child: Child<Commands>, args: readonly string[]) {
  const late = sleep(WALL_SECONDS * 1000, 'late' as const, { ref: false });
  const ended = await Promise.race([child.call('run', args), late]).catch(String);
  if (ended === 'late') return `not done after ${WALL_SECONDS} s`;
  if (typeof ended === 'string') return ended;
  const { code, stderr, cpuSeconds } = ended;
  ends.set(code, (ends.get(code) ?? 0) + 1);
  const errors = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('warning: '));
  const isOneSentence = errors.length === 1 && /^autoglm: \P{Cc}+[.?]$/u.test(errors[0]!);
  if (!CODES.includes(code)) return `exit code ${code}: ${stderr}`;
  if (code !== 0 && !isOneSentence) return `not one sentence: ${stderr}`;
  if (cpuSeconds > CPU_SECONDS) return `took ${cpuSeconds.toFixed(1)} s`;
  return undefined;
}

const models = readdirSync(MODELS, { recursive: true })
  .map((name) => join(MODELS, String(name)))
  .filter((path) => path.endsWith('.onnx'))
  .map((path) => ({ path, bytes: readFileSync(path) }))
  .filter(({ bytes }) => bytes.length < 1e6)
  .sort((a, b) => (a.path < b.path ? -1 : 1));

/** Returns a function that gives a folder with the files that lie beside a model: its external data. */
function copiedFolders(): (path: string) => string {
  const base = temporaryFolder();
  const copies = new Map<string, string>();
  return (path) => {
    const folder = dirname(path);
    const copy = copies.get(folder) ?? join(base, String(copies.size));
    if (!copies.has(folder)) cpSync(folder, copy, { recursive: true });
    copies.set(folder, copy);
    return copy;
  };
}

it('damaged copies of models are inspected and planned, or refused in one sentence, quickly', {
  timeout: COUNT * 2000,
}, async () => {
  const random = seededRandom(SEED);
  const besideData = copiedFolders();
  const faults: string[] = [];
  let child = start();
  for (let index = 0; index < COUNT; index++) {
    const { path, bytes } = models[index % models.length]!;
    const copy = join(besideData(path), `mutated-${index}.onnx`);
    writeFileSync(copy, mutateModel(bytes, random));
    const recipe = RECIPES[Math.floor(index / models.length) % RECIPES.length]!;
    const verbs = [
      ['inspect', copy],
      ['quantize', copy, '--dry-run', '--recipe', recipe],
    ];
    for (const args of verbs) {
      const fault = await complaint(child, [...args, '--quiet']);
      if (fault === undefined) continue;
      const from = `${basename(dirname(path))}/${basename(path)}`;
      faults.push(`${index} ${from}: ${args[0]} ${recipe}: ${fault}`);
      if (KEEP !== undefined) copyFileSync(copy, join(KEEP, basename(copy)));
      await child.stop();
      child = start();
    }
    rmSync(copy);
  }
  await child.stop();
  console.log(`${2 * COUNT} commands by exit code: ${JSON.stringify([...ends].sort())}`);
  expect(faults).toEqual([]);
  // Both must really occur, or the changes miss what they are for.
  expect(ends.get(0)).toBeGreaterThan(COUNT / 10);
  expect(ends.get(4)).toBeGreaterThan(COUNT / 10);
});
