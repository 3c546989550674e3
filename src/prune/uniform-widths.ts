import { consumedUnits, type GroupKind, type PruneGroup, type PruneGroups } from './group.ts';
import type { Cut } from './kept-axes.ts';

/** Widths that all layers of a pruned model share, for configuration files; absent where layers differ. */
export interface UniformWidths {
  readonly intermediateSize?: number | undefined;
  readonly heads?: number | undefined;
  readonly headDim?: number | undefined;
  /** What a configuration file cannot say. */
  readonly notes: readonly string[];
}

/** Returns the widths after the cuts: of hidden channels and heads that were cut, where all layers agree. */
export function uniformWidths({ groups }: PruneGroups, cuts: readonly Cut[]): UniformWidths {
  const removed = new Map(cuts.map((cut) => [cut.group, cut.removed.length]));
  const keptOf = (kind: GroupKind): readonly number[] => {
    const members = groups.filter((group) => group.kind === kind);
    if (!members.some((group) => removed.has(group))) return [];
    return [...new Set(members.map((group) => group.unitCount - (removed.get(group) ?? 0)))];
  };
  const [ffn, heads] = [keptOf('ffn'), keptOf('heads')];
  const first = groups.find(({ kind }) => kind === 'heads');
  const notes = [ffn, heads].flatMap((widths, index) =>
    widths.length > 1
      ? [
          `Layers have different numbers of ${index === 0 ? 'hidden channels' : 'heads'} ` +
            `(${widths.join(', ')}), which config.json cannot say.`,
        ]
      : [],
  );
  return {
    ...(ffn.length === 1 && { intermediateSize: ffn[0] }),
    ...(heads.length === 1 && { heads: heads[0] }),
    ...(heads.length === 1 && first !== undefined && { headDim: headDimOf(first) }),
    notes,
  };
}

function headDimOf(group: PruneGroup): number | undefined {
  const [consumer] = group.consumers;
  if (consumer === undefined) return undefined;
  return consumedUnits(group, consumer).filter((unit) => unit === 0).length;
}
