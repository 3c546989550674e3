import type { MatrixProduct } from '../../numerics/matrix.ts';
import type { Consumer } from '../follow-units.ts';
import type { PruneGroup } from '../group.ts';
import type { UnitWeight } from '../unit-weights.ts';

/** What calibration saw of the activation that a product sums over. */
export interface ChannelMoments {
  readonly width: number;
  /** Sum of squares of each channel over all tokens. */
  readonly squares: Float32Array;
  /** Sum of x * transpose(x), `width` x `width`, where it was wanted and is not too large. */
  readonly gram?: Float32Array | undefined;
}

/** A group as scores see it. */
export interface ScoredGroup {
  readonly group: PruneGroup;
  readonly weights: readonly UnitWeight[];
  /** |gamma| of each unit, of every BatchNormalization in the group. */
  readonly normScales: readonly (readonly number[])[];
  /** Returns what calibration saw of a product's input, undefined where it did not look. */
  moments(consumer: Consumer): Promise<ChannelMoments | undefined>;
  /** Units of each stretch that may go: the order of no more matters. */
  readonly mostPerBlock: number;
  /** Multiplies large matrices. */
  readonly multiply: MatrixProduct;
}

/** A way to tell which units matter least. */
export interface Importance {
  readonly name: string;
  readonly description: string;
  /** `weights` alone, or what calibration saw: `squares` of channels, all second `moments`. */
  readonly needs: 'weights' | 'squares' | 'moments';
  /** Returns a score for each unit, lowest first to go; a string says why a group has none. */
  score(group: ScoredGroup): Promise<Float64Array | string>;
}
