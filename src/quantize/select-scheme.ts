import {
  defaultScheme,
  isIntegerScheme,
  type Recipe,
  type RecipeRule,
  type Scheme,
} from '../recipe/recipe.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';

/** What a recipe asks for one layer, and why when it is not the recipe's default. */
export interface SelectedScheme {
  readonly scheme: Scheme;
  readonly reason?: string;
}

/** Schemes by layer name, and the rules that never matched. */
export interface SelectedSchemes {
  readonly byLayer: ReadonlyMap<string, SelectedScheme>;
  readonly unmatchedRules: readonly string[];
}

const HEAD_SCHEMES = {
  'weight-only': 'w8a16',
  float: 'float',
  w8a8: 'w8a8',
  w8a8x2: 'w8a8x2',
} as const;

/** `w8a8` is the recipe's own kind of INT8 activations, calibrated or not. */
const GATED_DOWN_SCHEMES = { 'weight-only': 'w8a16', w8a8x2: 'w8a8x2', w8a8: undefined } as const;

/** Returns the scheme that the recipe gives each layer: default, then head, then the last matching rule. */
export function selectSchemes(layers: readonly LinearLayer[], recipe: Recipe): SelectedSchemes {
  const gated = gatedBlocks(layers);
  const rules = recipe.rules.map((rule) => ({
    rule,
    pattern: rule.match === undefined ? undefined : new RegExp(rule.match, 'u'),
  }));
  const matched = new Set<number>();
  const byLayer = new Map<string, SelectedScheme>();
  for (const layer of layers) {
    let selected = initialScheme(layer, recipe, gated);
    rules.forEach(({ rule, pattern }, index) => {
      if (!matches(layer, rule, pattern)) return;
      matched.add(index);
      selected = { scheme: rule.scheme, reason: `rule ${index + 1}` };
    });
    byLayer.set(layer.name, selected);
  }
  const unmatchedRules = recipe.rules
    .map((rule, index) => ({ text: describeRule(rule, index), index }))
    .filter(({ index }) => !matched.has(index))
    .map(({ text }) => text);
  return { byLayer, unmatchedRules };
}

/** The transformer blocks whose FFN multiplies two projections. */
function gatedBlocks(layers: readonly LinearLayer[]): ReadonlySet<number | undefined> {
  const gated = layers.filter(({ role }) => role === 'gate' || role === 'gate-up');
  return new Set(gated.map(({ block }) => block));
}

function initialScheme(
  layer: LinearLayer,
  recipe: Recipe,
  gated: ReadonlySet<number | undefined>,
): SelectedScheme {
  const usual = defaultScheme(recipe);
  const isGatedDown = layer.role === 'down' && gated.has(layer.block);
  if (isGatedDown && isIntegerScheme(usual)) {
    const scheme = GATED_DOWN_SCHEMES[recipe.gatedDown] ?? usual;
    return scheme === usual ? { scheme } : { scheme, reason: 'gated down' };
  }
  if (layer.role !== 'head') return { scheme: usual };
  const scheme = HEAD_SCHEMES[recipe.head];
  return scheme === usual ? { scheme } : { scheme, reason: 'head' };
}

function matches(layer: LinearLayer, rule: RecipeRule, pattern: RegExp | undefined): boolean {
  if (pattern !== undefined && !pattern.test(layer.name)) return false;
  if (rule.op !== undefined && rule.op !== layer.node.opType) return false;
  return rule.role === undefined || rule.role === layer.role;
}

function describeRule(rule: RecipeRule, index: number): string {
  const conditions = [
    rule.match === undefined ? '' : `match "${rule.match}"`,
    rule.op === undefined ? '' : `op ${rule.op}`,
    rule.role === undefined ? '' : `role ${rule.role}`,
  ].filter((condition) => condition !== '');
  return `rule ${index + 1} (${conditions.join(', ')})`;
}
