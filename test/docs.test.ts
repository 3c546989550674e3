/** Documents are true: their code compiles and runs, their links lead somewhere, their commands are commands. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import type { Pass } from '../src/api/ir.ts';
import type { Target } from '../src/api/targets.ts';
import { createProgram } from '../src/cli/main.ts';
import { planQuantization } from '../src/quantize/plan.ts';
import { parseRecipe } from '../src/recipe/load.ts';
import { TARGETS } from '../src/targets/index.ts';
import { linearModel, model, node, ranges, value } from './kit/models.ts';
import { root } from './kit/paths.ts';

const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs')).flatMap((name) =>
    name.endsWith('.md') ? [`docs/${name}`] : [],
  ),
];

/** Inside the repository, where TypeScript is compiled on import; `out/` is not committed. */
const folder = join(root, 'out', `docs-${process.pid}`);
mkdirSync(folder, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes the code block of a document that begins with the name of a file, and imports it. */
async function load(document: string): Promise<Record<string, unknown>> {
  const text = readFileSync(join(root, document), 'utf8');
  const [, name = '', code = ''] = /```ts\n\/\/ file: (\S+)\n([\s\S]*?)```/.exec(text) ?? [];
  expect(name).not.toBe('');
  const path = join(folder, name);
  writeFileSync(path, code.replaceAll(/'autoglm\/(\w+)'/g, `'${join(root, 'src/api')}/$1.ts'`));
  return import(path);
}

describe('docs/writing-a-pass.md', () => {
  it('has a pass that runs, and declines what it cannot do', async () => {
    const { removeDropout } = (await load('docs/writing-a-pass.md')) as { removeDropout: Pass };
    const declined: string[] = [];
    const context = { decline: (found: { node: string }) => declined.push(found.node) };
    const source = model({
      nodes: [
        node('Dropout', ['x'], 'a'),
        node('Relu', ['a'], 'b'),
        { ...node('Dropout', ['b'], 'y'), name: 'last' },
      ],
      initializers: [],
      inputs: [value('x', 'float32', ['n'])],
      outputs: [value('y', 'float32', ['n'])],
    });
    const made = removeDropout.run(source, context);
    expect(made.graph.nodes.map(({ opType, inputs }) => `${opType} ${inputs}`)).toEqual([
      'Relu x',
      'Dropout b',
    ]);
    expect(declined).toEqual(['last']);
    expect(removeDropout.run(made, context)).toBe(made);
  });
});

describe('docs/writing-a-target.md', () => {
  it('has a target that registers itself and lowers a plan', async () => {
    const { SCALE_TABLE } = (await load('docs/writing-a-target.md')) as { SCALE_TABLE: Target };
    expect(TARGETS).toContain(SCALE_TABLE);
    (TARGETS as Target[]).pop();
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(
      source,
      parseRecipe('{ name: a, head: w8a8 }', 'x'),
      ranges({ x: [-1, 3] }),
    );
    const writer = await SCALE_TABLE.load();
    const options = SCALE_TABLE.options.parse({ separator: ';' });
    const { files } = writer.lower({ model: source, plan, options, shapes: new Map() });
    expect(files).toEqual([
      { name: 'scales.csv', content: `layer;min;max\n${plan.layers[0]!.name};-1;3\n` },
    ]);
  });
});

describe.each(documents)('%s', (document) => {
  const text = readFileSync(join(root, document), 'utf8');

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)\s#]+)[^)]*\)/g)].map(
      ([, to]) => to!,
    );
    for (const to of links) expect(existsSync(join(root, dirname(document), to)), to).toBe(true);
  });

  it('names verbs and flags that exist', () => {
    const program = createProgram();
    // Every second piece between fences is a block, between backquotes of a paragraph a command.
    const pieces = text.split(/^```/m);
    const blocks = pieces.flatMap((block, index) =>
      index % 2 === 1 && /^(?:sh)?\n/.test(block) ? block.split('\n') : [],
    );
    const inline = pieces
      .flatMap((prose, index) => (index % 2 === 0 ? prose.split('\n\n') : []))
      .flatMap((paragraph) => paragraph.split('`').filter((_, index) => index % 2 === 1));
    const lines = [...blocks, ...inline].flatMap((line) => {
      const found = /^(?:\$ )?autoglm +([a-z]+)([^#|]*)/.exec(line);
      return found === null ? [] : [found];
    });
    for (const [line, verb, rest] of lines) {
      const command = program.commands.find((known) => known.name() === verb);
      expect(command, line).toBeInstanceOf(Command);
      const known = [command!, ...command!.commands].flatMap(({ options }) =>
        options.map(({ long }) => long),
      );
      for (const [flag] of rest!.matchAll(/--[a-z][a-z0-9-]*/g))
        expect(known, line).toContain(flag);
    }
  });
});
