import type { Model } from '../ir/model.ts';
import type { PassContext } from '../passes/pass.ts';
import type { Block } from './block.ts';
import { recognize } from './recognize.ts';

/** Returns the attention and feed-forward blocks of the main graph in the order of the data. */
export function findBlocks(model: Model, context?: PassContext): readonly Block[] {
  return recognize(model, context).blocks;
}
