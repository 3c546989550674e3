import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { root } from './kit/paths.ts';

const src = join(root, 'src');

/** Which folders of src/ a folder may import values from. `types:` lists folders allowed for types alone. */
const ALLOWED: Readonly<Record<string, { values: readonly string[]; types?: readonly string[] }>> =
  {
    errors: { values: [] },
    version: { values: [] },
    'parse-record': { values: ['errors'] },
    ir: { values: ['errors'] },
    numerics: { values: ['ir', 'errors'] },
    values: { values: ['numerics', 'ir', 'errors'] },
    ops: { values: ['numerics', 'ir', 'errors'] },
    formats: { values: ['numerics', 'ir', 'errors'] },
    storage: { values: ['formats', 'ir', 'errors'] },
    workers: { values: ['numerics', 'ir', 'errors'] },
    passes: { values: ['ops', 'numerics', 'ir', 'errors'] },
    structure: { values: ['passes', 'ops', 'numerics', 'ir', 'errors'] },
    recipe: { values: ['structure', 'numerics', 'ir', 'errors'] },
    runners: {
      values: ['formats', 'storage', 'numerics', 'ir', 'errors'],
      types: ['values'],
    },
    calibrate: {
      values: [
        'runners',
        'recipe',
        'structure',
        'passes',
        'storage',
        'values',
        'numerics',
        'ir',
        'errors',
      ],
    },
    quantize: {
      values: ['calibrate', 'recipe', 'structure', 'passes', 'ops', 'numerics', 'ir', 'errors'],
    },
    prune: { values: ['structure', 'passes', 'ops', 'numerics', 'ir', 'errors'] },
    targets: {
      values: [
        'quantize',
        'recipe',
        'structure',
        'passes',
        'ops',
        'formats',
        'numerics',
        'ir',
        'errors',
      ],
      types: ['calibrate'],
    },
    check: {
      values: ['numerics', 'ir', 'errors'],
      types: ['runners', 'calibrate', 'targets', 'values'],
    },
    artifact: {
      values: ['check', 'quantize', 'storage', 'passes', 'version', 'ir', 'errors'],
      types: ['targets', 'quantize', 'prune', 'runners'],
    },
    report: {
      values: [],
      types: ['check', 'quantize', 'prune', 'targets', 'artifact'],
    },
    workflows: {
      values: [
        'report',
        'artifact',
        'check',
        'targets',
        'prune',
        'quantize',
        'calibrate',
        'runners',
        'recipe',
        'structure',
        'passes',
        'workers',
        'storage',
        'values',
        'numerics',
        'ir',
        'version',
        'errors',
      ],
    },
    cli: { values: ['workflows', 'report', 'targets', 'version', 'errors'], types: ['runners'] },
    index: { values: ['api', 'workflows', 'version', 'errors'], types: ['artifact', 'check'] },
    api: {
      values: [
        'report',
        'artifact',
        'check',
        'targets',
        'quantize',
        'calibrate',
        'runners',
        'recipe',
        'structure',
        'passes',
        'storage',
        'ir',
      ],
      types: ['values'],
    },
  };

/** Files beside the folders, which all but themselves may import. */
const EVERYWHERE = ['parse-record'];

/** Folders that must run in a browser one day. */
const WITHOUT_NODE = [
  'errors',
  'parse-record',
  'ir',
  'numerics',
  'values',
  'ops',
  'formats',
  'passes',
  'structure',
  'prune',
  'quantize',
  'targets',
];

/** The one list of each kind of part, and the type by which a part is known. */
const LISTS: readonly { folder: string; type: string; list: string }[] = [
  { folder: 'runners', type: 'Runner', list: 'RUNNERS' },
  { folder: 'runners', type: 'Compiler', list: 'COMPILERS' },
  { folder: 'targets', type: 'Target', list: 'TARGETS' },
  { folder: 'calibrate/ranges', type: 'RangeMethod', list: 'RANGE_METHODS' },
  { folder: 'passes', type: 'Pass', list: 'PASSES' },
  { folder: 'ops', type: 'OpSpec', list: 'OPS' },
  { folder: 'prune/rules', type: 'AxisRule', list: 'AXIS_RULES' },
];

interface Import {
  readonly from: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join(src, name));
const sources = new Map(
  files.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023, true),
  ]),
);

function folderOf(file: string): string {
  const first = relative(src, file).split(sep)[0] ?? '';
  return first.replace(/\.ts$/, '');
}

function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) {
      const module = statement.moduleSpecifier;
      if (module === undefined || !ts.isStringLiteral(module)) continue;
      const typeOnly = ts.isImportDeclaration(statement)
        ? isTypeOnly(statement.importClause)
        : statement.isTypeOnly;
      found.push({ from: source.fileName, specifier: module.text, typeOnly });
    }
  }
  return found;
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  const bindings = clause.namedBindings;
  return (
    clause.name === undefined &&
    bindings !== undefined &&
    ts.isNamedImports(bindings) &&
    bindings.elements.length > 0 &&
    bindings.elements.every((element) => element.isTypeOnly)
  );
}

/** Names of the exported constants of a file that are declared as a `type` or an array of it. */
function constantsOf(source: ts.SourceFile, type: string): string[] {
  return source.statements
    .filter(ts.isVariableStatement)
    .filter(({ modifiers }) => modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
    .flatMap(({ declarationList }) => [...declarationList.declarations])
    .filter((declaration) =>
      [type, `readonly ${type}[]`].includes(declaration.type?.getText() ?? ''),
    )
    .map(({ name }) => name.getText());
}

function sourceOf(path: string): ts.SourceFile {
  const source = sources.get(join(src, path));
  if (source === undefined) throw new Error(`src/${path} is missing`);
  return source;
}

/** Names that the array literal of a constant lists, spread or not. */
function elementsOf(source: ts.SourceFile, constant: string): string[] {
  for (const statement of source.statements.filter(ts.isVariableStatement)) {
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (name.getText() !== constant || initializer === undefined) continue;
      if (!ts.isArrayLiteralExpression(initializer)) continue;
      return initializer.elements.map((element) => element.getText().replace(/^\.{3}/, ''));
    }
  }
  throw new Error(`${source.fileName} has no list ${constant}`);
}

describe('architecture', () => {
  it('makes temporary folders and starts processes in one place each, which end with the process', () => {
    const makers: Readonly<Record<string, readonly string[]>> = {
      'mkdtemp|mkdtempSync|tmpfile': ['storage/temporary-folder.ts'],
      'spawn|fork|execFile|exec': [
        'runners/mnn/mnn-process.ts',
        'runners/process/child.ts',
        'runners/process/living-processes.ts',
        'runners/tensorrt/trtexec.ts',
      ],
    };
    for (const [calls, allowed] of Object.entries(makers)) {
      const pattern = new RegExp(`(?<![.\\w])(${calls})\\(`);
      const found = [...sources.values()]
        .filter((source) => pattern.test(source.text))
        .map(({ fileName }) => relative(src, fileName).split(sep).join('/'));
      expect(found.sort()).toEqual(allowed);
    }
  });

  it('tests get temporary folders, which end with them, from test/kit alone', () => {
    const found = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.[jt]s$/.test(name))
      .filter((name) => /\bmkdtemp(Sync)?\(/.test(readFileSync(join(root, 'test', name), 'utf8')))
      .map((name) => name.split(sep).join('/'));
    expect(found).toEqual(['kit/temporary-folder.ts']);
  });

  it('scripts that run compiled code, which no compiler reads, import files that exist', () => {
    const missing = ['test', 'bin', 'fixtures'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.m?js$/.test(name))
        .flatMap((name) => {
          const file = join(root, folder, name);
          const specifiers = readFileSync(file, 'utf8').matchAll(/from '(\.{1,2}\/[^']+)'/g);
          return [...specifiers]
            .filter(([, specifier]) => !existsSync(resolve(dirname(file), specifier!)))
            .map(([, specifier]) => `${folder}/${name} imports ${specifier}`);
        }),
    );
    expect(missing).toEqual([]);
  });

  it('imports point one way between the folders of src/', () => {
    const violations: string[] = [];
    for (const source of sources.values()) {
      const folder = folderOf(source.fileName);
      const allowed = ALLOWED[folder];
      if (allowed === undefined) {
        violations.push(`src/${folder} is not in the table of this test`);
        continue;
      }
      for (const { specifier, typeOnly } of importsOf(source)) {
        if (!specifier.startsWith('.')) continue;
        const target = folderOf(join(dirname(source.fileName), specifier));
        if (target === folder || EVERYWHERE.includes(target) || allowed.values.includes(target))
          continue;
        if (typeOnly && allowed.types?.includes(target)) continue;
        violations.push(`${relative(root, source.fileName)} imports ${specifier}`);
      }
    }
    expect(violations).toEqual([]);
  });

  it('the inner folders and formats import no node: module', () => {
    const violations = [...sources.values()]
      .filter((source) => WITHOUT_NODE.includes(folderOf(source.fileName)))
      .flatMap(importsOf)
      .filter(({ specifier }) => specifier.startsWith('node:'))
      .map(({ from, specifier }) => `${relative(root, from)} imports ${specifier}`);
    expect(violations).toEqual([]);
  });

  it.each(LISTS)('$list names every $type of src/$folder', ({ folder, type, list }) => {
    const index = sourceOf(join(folder, 'index.ts'));
    const parts = [...sources.values()]
      .filter(({ fileName }) => fileName.startsWith(join(src, folder) + sep))
      .filter((source) => source !== index)
      .flatMap((source) => constantsOf(source, type));
    expect(parts).not.toEqual([]);
    expect(elementsOf(index, list).sort()).toEqual(parts.sort());
  });

  it('the command line registers every file of src/cli/commands', () => {
    const registered = importsOf(sourceOf('cli/main.ts'))
      .filter(({ specifier }) => specifier.startsWith('./commands/'))
      .map(({ specifier }) => specifier.replace('./commands/', ''));
    expect(registered.sort()).toEqual(readdirSync(join(src, 'cli', 'commands')).sort());
  });

  it('commands load their workflow only when they run: help is quick', () => {
    const light = ['choices.ts', 'pipeline/index.ts'];
    const violations = [...sources.values()]
      .filter((source) => folderOf(source.fileName) === 'cli')
      .flatMap(importsOf)
      .filter(({ specifier, typeOnly }) => specifier.includes('/workflows/') && !typeOnly)
      .filter(({ specifier }) => !light.some((name) => specifier.endsWith(name)))
      .map(({ from, specifier }) => `${relative(root, from)} imports ${specifier}`);
    expect(violations).toEqual([]);
  });

  it('no file passes 400 lines', () => {
    const long = [...sources.values()]
      .map((source) => ({
        file: relative(root, source.fileName),
        lines: source.text.trimEnd().split('\n').length,
      }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });

  it('every export has a doc comment', () => {
    const bare: string[] = [];
    for (const source of sources.values()) {
      const overloads = new Set<string>();
      for (const statement of source.statements) {
        const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
        if (!modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) continue;
        const name = ts.isVariableStatement(statement)
          ? statement.declarationList.declarations[0]?.name.getText()
          : ((statement as ts.DeclarationStatement).name?.getText() ?? '');
        const key = name ?? '';
        if (ts.isFunctionDeclaration(statement) && overloads.has(key)) continue;
        overloads.add(key);
        const comments = ts.getLeadingCommentRanges(source.text, statement.pos) ?? [];
        const documented = comments.some(({ pos }) => source.text.startsWith('/**', pos));
        if (!documented) bare.push(`${relative(root, source.fileName)}: ${key}`);
      }
    }
    expect(bare).toEqual([]);
  });

  it('files have one job: no utils, helpers, common or manager', () => {
    const vague = files
      .map((file) => relative(root, file))
      .filter((file) => /(utils?|helpers?|common|manager|misc)(\/|\.ts$)/i.test(file));
    expect(vague).toEqual([]);
  });
});
