import { UsageError } from '../errors.ts';
import { BUILT_IN_RECIPE_TEXTS } from './built-in-recipes.ts';
import { nearest } from './nearest.ts';
import { parseYaml } from './parse-yaml.ts';
import { RECIPE_SCHEMA, type Recipe } from './recipe.ts';

/**
 * Returns the recipe written in `text`, with defaults filled in. `where` (a file name) leads every
 * message. Throws a {@link UsageError} that names line, key and nearest known key.
 */
export function parseRecipe(text: string, where: string): Recipe {
  return parseYaml(text, RECIPE_SCHEMA, where);
}

/** The recipes that need no file, by name, in alphabetical order. */
export const BUILT_IN_RECIPES: ReadonlyMap<string, Recipe> = new Map(
  Object.entries(BUILT_IN_RECIPE_TEXTS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => [name, parseRecipe(text, `${name}.yaml`)]),
);

/** Returns a built-in recipe. Throws a {@link UsageError} naming the nearest when there is none. */
export function builtInRecipe(name: string): Recipe {
  const recipe = BUILT_IN_RECIPES.get(name);
  if (recipe !== undefined) return recipe;
  const known = [...BUILT_IN_RECIPES.keys()];
  const close = nearest(name, known);
  const hint =
    close === undefined ? 'Name one of them or a YAML file.' : `Did you mean "${close}"?`;
  throw new UsageError(
    `recipe: no such recipe (got "${name}", expected ${known.join(', ')}). ${hint}`,
  );
}
