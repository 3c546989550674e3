/**
 * Arithmetic on dimensions that may be symbols. A symbolic dimension is a polynomial with integer
 * coefficients, written as `2*batch*heads + past + 1`: enough for everything shape arithmetic in
 * transformer exports does, and still readable in a report. Whatever does not fit is undefined.
 */
import type { Dim } from '../ir/model.ts';

/** Products of symbols (sorted, joined by `*`; '' is the constant term) with their coefficients. */
type Polynomial = ReadonlyMap<string, number>;

/** Longer sums say nothing to a reader and cost time: they become "unknown". */
const MAX_TERMS = 6;

const TERM = /^(?:(\d+)|([A-Za-z_][\w.]*(?:\([^()]*\))?))$/;

/** Returns `a + b`. */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  if (b === 0) return a;
  return combine(a, b, (left, right) => sum(left, right, 1));
}

/** Returns `a - b`. */
export function subtractDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (b === 0) return a;
  return combine(a, b, (left, right) => sum(left, right, -1));
}

/** Returns `a * b`. */
export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 0 || b === 0) return 0;
  if (a === 1) return b;
  if (b === 1) return a;
  return combine(a, b, product);
}

/** Returns `a / b` where the division is exact for every value of the symbols, else undefined. */
export function divideDims(a: Dim, b: Dim): Dim {
  if (b === 0 || a === undefined || b === undefined) return undefined;
  if (typeof a === 'number' && typeof b === 'number') return a % b === 0 ? a / b : undefined;
  if (a === b || b === 1) return a === b ? 1 : a;
  return combine(a, b, quotient);
}

/** Returns the product of all dimensions; undefined when one is unknown (and none is 0). */
export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>((product, dim) => multiplyDims(product, dim), 1);
}

/** Says whether every dimension is a number. */
export function isStatic(shape: readonly Dim[] | undefined): shape is readonly number[] {
  return shape?.every((dim) => typeof dim === 'number') ?? false;
}

function combine(
  a: Dim,
  b: Dim,
  operation: (left: Polynomial, right: Polynomial) => Polynomial | undefined,
): Dim {
  const left = parse(a);
  const right = parse(b);
  if (left === undefined || right === undefined) return undefined;
  const result = operation(left, right);
  return result === undefined ? undefined : print(result);
}

function parse(dim: Dim): Polynomial | undefined {
  if (dim === undefined) return undefined;
  if (typeof dim === 'number') return new Map([['', dim]]);
  const polynomial = new Map<string, number>();
  // `a - b` is read as `a + -b`; a symbol with other characters stays one opaque symbol.
  for (const term of dim.replaceAll(' - ', ' + -').split(' + ')) {
    let coefficient = term.startsWith('-') ? -1 : 1;
    const symbols: string[] = [];
    for (const factor of term.replace(/^-/, '').split('*')) {
      const match = TERM.exec(factor.trim());
      if (match === null) return new Map([[dim, 1]]);
      if (match[1] !== undefined) coefficient *= Number(match[1]);
      else symbols.push(match[2] ?? '');
    }
    const key = symbols.sort().join('*');
    polynomial.set(key, (polynomial.get(key) ?? 0) + coefficient);
  }
  return polynomial;
}

function print(polynomial: Polynomial): Dim {
  const terms = [...polynomial].filter(([, coefficient]) => coefficient !== 0);
  if (terms.length === 0) return 0;
  if (terms.length > MAX_TERMS) return undefined;
  const [only] = terms;
  if (terms.length === 1 && only?.[0] === '') return only[1];
  // Symbols first, the constant last: `past + sequence + 1`.
  terms.sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  return terms
    .map(([symbols, coefficient], index) => {
      const size = Math.abs(coefficient);
      const text = symbols === '' ? `${size}` : size === 1 ? symbols : `${size}*${symbols}`;
      if (index === 0) return coefficient < 0 ? `-${text}` : text;
      return coefficient < 0 ? `- ${text}` : `+ ${text}`;
    })
    .join(' ');
}

function sum(left: Polynomial, right: Polynomial, sign: number): Polynomial {
  const result = new Map(left);
  for (const [symbols, coefficient] of right) {
    result.set(symbols, (result.get(symbols) ?? 0) + sign * coefficient);
  }
  return result;
}

function product(left: Polynomial, right: Polynomial): Polynomial {
  const result = new Map<string, number>();
  for (const [a, x] of left) {
    for (const [b, y] of right) {
      const key = [...symbolsOf(a), ...symbolsOf(b)].sort().join('*');
      result.set(key, (result.get(key) ?? 0) + x * y);
    }
  }
  return result;
}

/** Divides by a single term; division by a sum succeeds only when left is a multiple of it. */
function quotient(left: Polynomial, right: Polynomial): Polynomial | undefined {
  const divisor = [...right].filter(([, coefficient]) => coefficient !== 0);
  const [first] = divisor;
  if (first === undefined) return undefined;
  if (divisor.length > 1) return multipleOf(left, right);
  const result = new Map<string, number>();
  for (const [symbols, coefficient] of left) {
    const rest = withoutSymbols(symbolsOf(symbols), symbolsOf(first[0]));
    if (rest === undefined || coefficient % first[1] !== 0) return undefined;
    result.set(rest.join('*'), coefficient / first[1]);
  }
  return result;
}

function multipleOf(left: Polynomial, right: Polynomial): Polynomial | undefined {
  const [first] = right;
  if (first === undefined) return undefined;
  for (const [symbols, coefficient] of left) {
    const rest = withoutSymbols(symbolsOf(symbols), symbolsOf(first[0]));
    if (rest === undefined || coefficient % first[1] !== 0) continue;
    const factor: Polynomial = new Map([[rest.join('*'), coefficient / first[1]]]);
    const difference = sum(left, product(right, factor), -1);
    if ([...difference.values()].every((value) => value === 0)) return factor;
  }
  return undefined;
}

function symbolsOf(key: string): string[] {
  return key === '' ? [] : key.split('*');
}

function withoutSymbols(symbols: string[], removed: string[]): string[] | undefined {
  const rest = [...symbols];
  for (const symbol of removed) {
    const at = rest.indexOf(symbol);
    if (at < 0) return undefined;
    rest.splice(at, 1);
  }
  return rest;
}
