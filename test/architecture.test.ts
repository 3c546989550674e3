import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');

/** Which folders of src/ a folder may import values from. `types:` lists folders allowed for types alone. */
const ALLOWED: Readonly<Record<string, { values: readonly string[]; types?: readonly string[] }>> =
  {
    errors: { values: [] },
    ir: { values: ['errors'] },
    numerics: { values: ['ir', 'errors'] },
    ops: { values: ['numerics', 'ir', 'errors'] },
    passes: { values: ['ops', 'numerics', 'ir', 'errors'] },
    recipe: { values: ['numerics', 'ir', 'errors'], types: ['passes', 'calibrate'] },
    storage: { values: ['formats', 'ir', 'errors'] },
    formats: {
      values: ['quantize', 'passes', 'ops', 'numerics', 'ir', 'errors'],
      types: ['calibrate', 'recipe'],
    },
    workers: { values: ['numerics', 'ir', 'errors'] },
    runners: { values: ['storage', 'formats', 'calibrate', 'ops', 'numerics', 'ir', 'errors'] },
    calibrate: {
      values: ['recipe', 'storage', 'formats', 'passes', 'ops', 'numerics', 'ir', 'errors'],
      types: ['runners'],
    },
    quantize: {
      values: ['recipe', 'passes', 'ops', 'numerics', 'ir', 'errors'],
      types: ['calibrate'],
    },
    check: { values: ['numerics', 'ir', 'errors'], types: ['runners', 'calibrate', 'quantize'] },
    report: {
      values: [],
      types: ['check', 'quantize', 'calibrate', 'passes', 'runners', 'ir', 'workflows'],
    },
    workflows: {
      values: [
        'report',
        'check',
        'quantize',
        'calibrate',
        'runners',
        'workers',
        'storage',
        'recipe',
        'formats',
        'passes',
        'ops',
        'numerics',
        'ir',
        'errors',
      ],
    },
    cli: {
      values: ['workflows', 'report', 'errors'],
      types: ['runners', 'check', 'passes', 'quantize', 'calibrate', 'recipe'],
    },
    index: {
      values: [
        'workflows',
        'report',
        'check',
        'quantize',
        'calibrate',
        'runners',
        'workers',
        'storage',
        'recipe',
        'formats',
        'passes',
        'ops',
        'numerics',
        'ir',
        'errors',
      ],
    },
  };

/** Folders that must run in a browser one day. */
const WITHOUT_NODE = ['errors', 'ir', 'numerics', 'ops', 'passes', 'formats', 'quantize'];

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

describe('architecture', () => {
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
        if (target === folder || allowed.values.includes(target)) continue;
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
