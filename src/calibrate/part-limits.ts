import { initializerBytes } from '../ir/constants.ts';
import type { Model } from '../ir/model.ts';
import { bytesInFloat32 } from '../passes/widen-type.ts';

/** Models with more bytes of constants than this (as float32) are run block by block. */
export const WHOLE_MODEL_BYTES = 512 * 2 ** 20;
/** Constants (as float32) of one part, unless a single block has more. */
export const PART_BYTES = 256 * 2 ** 20;
/** Values between parts held in memory; more go to disk, so that samples do not show in memory. */
const SPOOL_BYTES = 16 * 2 ** 20;

/** How a model that is run in parts is cut, and what it may keep in memory. */
export interface PartLimits {
  readonly partBytes: number;
  readonly spoolBytes: number;
}

/**
 * Returns how `model` is cut, or undefined when it is run whole. `byBlock` says so, or how; when it is absent, the
 * bytes of the constants decide.
 */
export function partLimits(
  model: Model,
  byBlock: boolean | PartLimits | undefined,
): PartLimits | undefined {
  const limits = { partBytes: PART_BYTES, spoolBytes: SPOOL_BYTES };
  if (typeof byBlock === 'object') return byBlock;
  if (byBlock !== undefined) return byBlock ? limits : undefined;
  const bytes = initializerBytes(model.graph, bytesInFloat32);
  return bytes > WHOLE_MODEL_BYTES ? limits : undefined;
}
