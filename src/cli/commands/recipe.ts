import type { Command } from 'commander';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

/** Adds `autoglm recipe list` and `autoglm recipe show`. */
export function registerRecipe(program: Command): void {
  const recipe = program
    .command('recipe')
    .description('Show the built-in recipes.')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm recipe list
  $ autoglm recipe show w8a8 > my-recipe.yaml`,
    );
  const list = recipe
    .command('list')
    .description('List the built-in recipes.')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm recipe list
  $ autoglm recipe list --json`,
    );
  addCommonOptions(list).action(async (options: CommonOptions) => {
    const { listRecipes } = await import('../../workflows/recipes.ts');
    await withTerminal(options, async (terminal) => {
      const recipes = listRecipes();
      const width = Math.max(...recipes.map(({ name }) => name.length));
      const lines = recipes.map(({ name, description }) => `${name.padEnd(width)}  ${description}`);
      terminal.result({ schema: 'autoglm.recipes/1', recipes }, lines.join('\n'));
    });
  });
  const show = recipe
    .command('show')
    .argument('<name>', 'name of a built-in recipe')
    .description('Print a built-in recipe as YAML.')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm recipe show w8a16
  $ autoglm recipe show w8a8 > my-recipe.yaml`,
    );
  addCommonOptions(show).action(async (name: string, options: CommonOptions) => {
    const { recipeText } = await import('../../workflows/recipes.ts');
    await withTerminal(options, async (terminal) => {
      const text = recipeText(name);
      terminal.result({ schema: 'autoglm.recipe/1', name, text }, text.trimEnd());
    });
  });
}
