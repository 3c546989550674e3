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
Which suits which processor (x86), as times of float32, one layer on one core:
                           one row     16 rows and more (rows are tokens)
                                       with VNNI   AVX2 alone
  INT8 activations         2x to 4x    3x          2x
  8-bit weights alone      2x          1.3x        0.65x: slower
  4-bit weights alone      2x to 4x    1.1x        1x
w8a8, w8a8-full and w8a8-dynamic have INT8 activations. w8a8 leaves the head and
the down projections of gated language models to weights alone, the quickest
token by token; w8a8-full spares no layer (those two take two integer products
each), the quickest over prompts, images and batches. "autoglm doctor"
says what this machine has, "autoglm check" where the time of an artifact goes.

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
