import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { BUILT_IN_RECIPE_TEXTS } from '../../src/recipe/built-in-recipes.ts';
import { BUILT_IN_RECIPES, builtInRecipe, parseRecipe } from '../../src/recipe/load.ts';
import { defaultScheme } from '../../src/recipe/recipe.ts';

const folder = new URL('../../configs/recipes/', import.meta.url);

function complaint(text: string): string {
  try {
    parseRecipe(text, 'my.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error('the recipe was accepted');
}

describe('parseRecipe', () => {
  it('fills in the defaults of w8a8 when only a name is given', () => {
    expect(parseRecipe('name: mine', 'my.yaml')).toEqual({
      name: 'mine',
      description: '',
      weights: { bits: 8, granularity: 'channel', symmetric: true },
      activations: {
        bits: 8,
        dynamic: false,
        symmetric: false,
        calibrator: 'auto',
        dtype: 'float32',
      },
      embedding: 'int8',
      head: 'weight-only',
      gatedDown: 'weight-only',
      smoothing: 'auto',
      rules: [],
    });
  });

  it('names line, key and the nearest known key for a misspelt key', () => {
    expect(complaint('name: a\nactivations:\n  bits: 8\n  symetric: true\n')).toBe(
      'my.yaml:4: unknown key "symetric" in activations ' +
        '(known: bits, dynamic, symmetric, calibrator, dtype). Did you mean "symmetric"?',
    );
    expect(complaint('name: a\nembeding: float\n')).toBe(
      'my.yaml:2: unknown key "embeding" (known: name, description, weights, activations, ' +
        'embedding, head, gatedDown, smoothing, rules). Did you mean "embedding"?',
    );
  });

  it('names the rule, the known values and the nearest one for an unknown scheme', () => {
    expect(complaint('name: a\nrules:\n  - role: down\n    scheme: w8a166\n')).toBe(
      'my.yaml:4: rules[0].scheme: not a known value (got "w8a166", ' +
        'expected w8a8, w8a8x2, w8a8-dynamic, w8a16, w4a16, float). Did you mean "w8a16"?',
    );
  });

  it('names the nearest key inside a rule', () => {
    expect(
      complaint(
        'name: a\nrules:\n  - { role: down, scheme: float }\n  - { rol: up, scheme: float }',
      ),
    ).toContain(
      'my.yaml:4: unknown key "rol" in rules[1] (known: match, op, role, scheme). Did you mean "role"?',
    );
  });

  it('refuses a rule without a condition, since it would silently match everything', () => {
    expect(complaint('name: a\nrules:\n  - scheme: float\n')).toBe(
      'my.yaml:3: rules[0]: a rule needs at least one of match, op, role.',
    );
  });

  it('refuses a match that is not a regular expression', () => {
    expect(complaint("name: a\nrules:\n  - { match: '(', scheme: float }\n")).toBe(
      'my.yaml:3: rules[0].match: not a regular expression (got "(").',
    );
  });

  it('reports broken YAML with line and column', () => {
    expect(complaint('name: a\nrules: [\n')).toMatch(/^my\.yaml:\d+:\d+: not valid YAML: /);
  });

  it('reports every mistake of a file, each on its own line', () => {
    expect(complaint('name: a\nhead: flaot\nembedding: int4\n').split('\n')).toHaveLength(2);
  });

  it('reports a missing name and a document that is not a map', () => {
    expect(complaint('head: float')).toContain('my.yaml:1: name: ');
    expect(complaint('- 1')).toContain('my.yaml:1: ');
    expect(complaint('')).toContain('my.yaml: name: ');
  });
});

describe('built-in recipes', () => {
  it('are the files of configs/recipes, byte for byte', () => {
    const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
    const texts = files.map((name) => [
      name.replace(/\.yaml$/, ''),
      readFileSync(new URL(name, folder), 'utf8'),
    ]);
    expect(Object.fromEntries(texts)).toEqual(BUILT_IN_RECIPE_TEXTS);
  });

  it('are named as their files and give the scheme of their name', () => {
    for (const [name, recipe] of BUILT_IN_RECIPES) expect(recipe.name).toBe(name);
    expect(defaultScheme(builtInRecipe('w8a8'))).toBe('w8a8');
    expect(defaultScheme(builtInRecipe('w8a16'))).toBe('w8a16');
    expect(defaultScheme(builtInRecipe('w8a8-dynamic'))).toBe('w8a8-dynamic');
  });

  it('suggest the nearest name for one that does not exist', () => {
    expect(() => builtInRecipe('w8a61')).toThrow(
      'recipe: no such recipe (got "w8a61", expected w4a16-g128, w4a16-g32, w4a16-g64, w8a16, ' +
        'w8a8, w8a8-dynamic, w8a8-full). Did you mean "w8a16"?',
    );
  });
});
