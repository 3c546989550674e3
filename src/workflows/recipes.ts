import { BUILT_IN_RECIPE_TEXTS } from '../recipe/built-in-recipes.ts';
import { BUILT_IN_RECIPES, builtInRecipe } from '../recipe/load.ts';

/** Returns name and description of every built-in recipe, by name. */
export function listRecipes(): readonly { readonly name: string; readonly description: string }[] {
  return [...BUILT_IN_RECIPES].map(([name, { description }]) => ({ name, description }));
}

/** Returns the YAML of a built-in recipe. Throws UsageError naming the nearest when there is none. */
export function recipeText(name: string): string {
  builtInRecipe(name);
  return BUILT_IN_RECIPE_TEXTS[name] ?? '';
}
