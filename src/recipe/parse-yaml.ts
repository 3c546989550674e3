import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { nearest } from './nearest.ts';

type Path = readonly PropertyKey[];

/**
 * Returns the document as `schema` reads it. Every complaint is a {@link UsageError} that names
 * `where`, the line, the key, and for unknown keys and values the nearest known one.
 * Use `z.strictObject` so that a misspelt key is an error, never a setting that does nothing.
 */
export function parseYaml<T>(text: string, schema: z.ZodType<T>, where: string): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const { line, col } = lines.linePos(broken.pos[0]);
    throw new UsageError(`${where}:${line}:${col}: not valid YAML: ${broken.message}`);
  }
  const parsed = schema.safeParse(document.toJS() ?? {}, { reportInput: true });
  if (parsed.success) return parsed.data;
  const messages = flatten(parsed.error.issues).map((issue) => {
    const unknown = issue.code === 'unrecognized_keys' ? (issue.keys[0] ?? '') : undefined;
    const at = unknown === undefined ? issue.path : [...issue.path, unknown];
    const position = positionOf(document.contents, at, unknown !== undefined);
    const prefix = position === undefined ? where : `${where}:${lines.linePos(position).line}`;
    return `${prefix}: ${describe(issue, schema)}`;
  });
  throw new UsageError(messages.join('\n'));
}

/** The issues of the branch that came closest stand for a union that did not match. */
function flatten(issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
    const depth = (branch: readonly z.core.$ZodIssue[]): number =>
      Math.max(...branch.map((inner) => inner.path.length + Number(inner.code !== 'invalid_type')));
    const closest = issue.errors.reduce((a, b) => (depth(b) > depth(a) ? b : a));
    return flatten(closest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })));
  });
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  const name = pathText(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path);
    const inside = name === '' ? '' : ` in ${name}`;
    return issue.keys
      .map(
        (key) => `unknown key "${key}"${inside} (known: ${known.join(', ')}).${hint(key, known)}`,
      )
      .join(' ');
  }
  if (issue.code === 'invalid_value') {
    const known = issue.values.map(String);
    const got = issue.input === undefined ? 'nothing' : JSON.stringify(issue.input);
    const near = typeof issue.input === 'string' ? hint(issue.input, known) : '';
    return `${name}: not a known value (got ${got}, expected ${known.join(', ')}).${near}`;
  }
  return name === '' ? issue.message : `${name}: ${issue.message}`;
}

function hint(word: string, known: readonly string[]): string {
  const close = nearest(word, known);
  return close === undefined ? '' : ` Did you mean "${close}"?`;
}

/** Returns `rules[2].scheme` for `['rules', 2, 'scheme']`. */
function pathText(path: Path): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

function knownKeys(schema: z.ZodType, path: Path): readonly string[] {
  let level: readonly SchemaNode[] = [
    z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode,
  ];
  for (const part of path) {
    level = level
      .flatMap((node) => [node, ...(node.anyOf ?? [])])
      .map((node) => (typeof part === 'number' ? node.items : node.properties?.[String(part)]))
      .filter((node) => node !== undefined);
  }
  return level
    .flatMap((node) => [node, ...(node.anyOf ?? [])])
    .flatMap((node) => Object.keys(node.properties ?? {}));
}

/** Offset of the key (or, for list items and values, of the node) at `path`, or of its parent. */
function positionOf(root: Node | null, path: Path, wantsKey: boolean): number | undefined {
  let node: unknown = root;
  let position = root?.range?.[0];
  for (const [depth, part] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part);
      if (pair === undefined) return position;
      const last = depth === path.length - 1;
      const target = last && !wantsKey ? (pair.value ?? pair.key) : pair.key;
      position = rangeStart(target) ?? position;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      position = rangeStart(node) ?? position;
    } else return position;
  }
  return position;
}

function rangeStart(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range?.[0];
}
