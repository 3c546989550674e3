/** The one list of passes. A new pass is a file beside this one and a line here. */
import { convertToFloat32 } from './convert-to-float32.ts';
import { distinctNames } from './distinct-names.ts';
import { eliminateDead } from './eliminate-dead.ts';
import { foldConstants } from './fold-constants.ts';
import { gatherBeforeCast } from './gather-before-cast.ts';
import { inferShapes } from './infer-shapes.ts';
import { inlineFunctions } from './inline-functions.ts';
import type { Pass } from './pass.ts';
import { plainProducts } from './plain-products.ts';

/** Every pass, by name in alphabetical order. */
export const PASSES: readonly Pass[] = [
  convertToFloat32,
  distinctNames,
  eliminateDead,
  foldConstants,
  gatherBeforeCast,
  inferShapes,
  inlineFunctions,
  plainProducts,
];
