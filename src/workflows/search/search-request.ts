import { type BudgetOptions, budgetOf } from '../../quantize/search/budget-options.ts';
import { BUILT_IN_RECIPES } from '../../recipe/load.ts';
import type { DataChoice } from '../project/open-data.ts';
import { searchCacheFolder } from './search-cache.ts';
import type { SearchRequest } from './search-plan.ts';

/** The budget of a verb or config, and how many held-out windows judge it. */
export interface SearchOptions extends BudgetOptions {
  readonly searchSamples?: number | undefined;
}

/** Returns the search that options ask for in an output folder, undefined when they set no limit. */
export function searchRequestOf(
  options: SearchOptions,
  choice: DataChoice,
  output: string | undefined,
): SearchRequest | undefined {
  const budget = budgetOf(options);
  if (budget === undefined) return undefined;
  const { searchSamples: heldOutSamples } = options;
  return {
    budget,
    choice: { ...choice, heldOutSamples },
    cacheFolder: searchCacheFolder(output),
  };
}

/**
 * Returns the recipe that a search starts from. `w8a8` leaves out by rule of thumb what a search
 * finds by measurement, so it starts from every layer; any other recipe is taken as it is.
 */
export function searchedRecipe(recipe: string): string {
  return recipe === 'w8a8' && BUILT_IN_RECIPES.has('w8a8-full') ? 'w8a8-full' : recipe;
}
