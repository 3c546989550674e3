import type { UseIndex } from '../ir/index-uses.ts';
import type { Node } from '../ir/model.ts';
import { INT8_BLOCK_SIZE, type Recipe, weightOnlyBlockSize } from '../recipe/recipe.ts';
import type { Embedding } from '../structure/find-embeddings.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import type { BodyPlace } from './body-limits.ts';
import type { SelectedScheme } from './select-scheme.ts';
import { weightConsumers } from './weight-consumers.ts';

/** A decision that may still be taken back when a weight turns out to be shared. */
interface Draft {
  readonly node: Node;
  readonly initializer: string;
  choice: SelectedScheme;
}

/** A decision about a linear layer. */
export interface LayerDraft extends Draft, BodyPlace {
  readonly layer: LinearLayer;
}

/** A decision about a token table. */
export interface TableDraft extends Draft {
  readonly embedding: Embedding;
}

/** A constant that any float consumer still reads would be stored twice, so all its readers stay float. */
export function leaveSharedFloat(index: UseIndex, drafts: readonly Draft[]): void {
  const readers = new Map<string, Draft[]>();
  for (const draft of drafts) {
    if (draft.choice.scheme === 'float') continue;
    const known = readers.get(draft.initializer);
    if (known === undefined) readers.set(draft.initializer, [draft]);
    else known.push(draft);
  }
  for (const [name, quantized] of readers) {
    const covered = new Set(quantized.map(({ node }) => node));
    const { nodes, escapes } = weightConsumers(index, name);
    if (!escapes && [...nodes].every((node) => covered.has(node))) continue;
    for (const draft of quantized) {
      draft.choice = { scheme: 'float', reason: 'weight is shared with a float consumer' };
    }
  }
}

/**
 * Returns the block size of each weight-only constant that is cut in blocks: where the recipe says so or several
 * layers share it (by channel onnxruntime fuses none of them), blocks divide its input features, and no
 * reader needs a scale per channel.
 */
export function chooseBlockSizes(
  layers: readonly LayerDraft[],
  tables: readonly TableDraft[],
  recipe: Recipe,
): ReadonlyMap<string, number> {
  const blockSize = weightOnlyBlockSize(recipe) ?? INT8_BLOCK_SIZE;
  const isCut = weightOnlyBlockSize(recipe) !== undefined;
  const inBodies = new Set(layers.filter(needsBlocks).map(({ initializer }) => initializer));
  const readers = new Map<string, number>();
  for (const { initializer } of layers) {
    readers.set(initializer, (readers.get(initializer) ?? 0) + 1);
  }
  const byChannel = new Set<string>();
  for (const { layer, choice, initializer } of layers) {
    const fits = choice.scheme === 'w8a16' && layer.inFeatures % blockSize === 0;
    if (!fits) byChannel.add(initializer);
  }
  for (const { embedding, initializer } of tables) {
    const { table, tokenAxis } = embedding;
    if (table.dims[1 - tokenAxis]! % blockSize !== 0) byChannel.add(initializer);
  }
  const names = [...layers, ...tables]
    .map(({ initializer }) => initializer)
    .filter((name) => !byChannel.has(name))
    .filter((name) => isCut || (readers.get(name) ?? 0) > 1 || inBodies.has(name));
  return new Map(names.map((name): [string, number] => [name, blockSize]));
}

function needsBlocks({ choice, body }: LayerDraft): boolean {
  return choice.scheme === 'w8a16' && body !== undefined;
}

/** A weight that a body needs in blocks and another reader by channel would be stored twice. */
export function leaveUnblockedFloat(
  layers: readonly LayerDraft[],
  tables: readonly TableDraft[],
  blockSizes: ReadonlyMap<string, number>,
): void {
  const torn = new Set(
    layers
      .filter(needsBlocks)
      .flatMap(({ initializer }) => (blockSizes.has(initializer) ? [] : [initializer])),
  );
  for (const draft of [...layers, ...tables]) {
    if (draft.choice.scheme === 'float' || !torn.has(draft.initializer)) continue;
    draft.choice = {
      scheme: 'float',
      reason: 'a body needs the weight in blocks, another reader by channel',
    };
  }
}
