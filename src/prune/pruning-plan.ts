import type { LogitFigures } from '../numerics/logit-reference.ts';
import type { DeclinedGroup, GroupKind } from './group.ts';

/** What goes from one group. */
export interface PlannedGroup {
  readonly name: string;
  readonly kind: GroupKind;
  readonly unitCount: number;
  /** Stretches that lose equally many. */
  readonly blockCount: number;
  /** Units that torch's count asks for; differs from `removed` where widths are aligned. */
  readonly asked: number;
  /** Ascending. */
  readonly removed: readonly number[];
  /** The score that chose them. */
  readonly importance: string;
  /** Why nothing goes, or another score was taken. */
  readonly reason?: string;
}

/** A share that was measured while one was searched. */
export interface AmountPoint {
  readonly amount: number;
  /** Units that go from each group, in the order of the groups. */
  readonly counts: string;
  readonly figures: LogitFigures;
}

/** How a share was found. */
export interface AmountSearch {
  /** The limits, in words. */
  readonly budget: string;
  /** Held-out samples that each share was measured on. */
  readonly windows: number;
  /** Smallest share first. */
  readonly curve: readonly AmountPoint[];
}

/** Which channels and heads go: data, made before anything is cut. */
export interface PruningPlan {
  readonly amount: number;
  readonly importance: string;
  readonly groups: readonly PlannedGroup[];
  readonly declined: readonly DeclinedGroup[];
  /** Present when the share was searched. */
  readonly search?: AmountSearch;
}
