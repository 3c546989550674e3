import { NO_UNIT } from './axis-rule.ts';

/** Units of which some turn out to be one: they go together or not at all. */
export interface UnitClasses {
  /** Returns the unit that stands for all it was joined with; {@link NO_UNIT} for itself. */
  find(unit: number): number;
  /** Makes two units one. */
  join(a: number, b: number): void;
}

/** Returns `count` units, each by itself (union-find with path halving). */
export function unitClasses(count: number): UnitClasses {
  const parents = Int32Array.from({ length: count }, (_, unit) => unit);
  const find = (unit: number): number => {
    if (unit === NO_UNIT) return NO_UNIT;
    let at = unit;
    while (parents[at] !== at) {
      parents[at] = parents[parents[at]!]!;
      at = parents[at]!;
    }
    return at;
  };
  return {
    find,
    join(a, b) {
      const [first, second] = [find(a), find(b)];
      // The smaller stands for both, so that units keep the order of their first index.
      parents[Math.max(first, second)] = Math.min(first, second);
    },
  };
}
