/** Smallest, usual and largest dimensions of one input. Kernels are tuned for the usual ones. */
export interface ShapeRange {
  readonly min: readonly number[];
  readonly opt: readonly number[];
  readonly max: readonly number[];
}

/** Shapes by input name. Inputs whose declared dims are all fixed may be left out. */
export type ShapeRanges = ReadonlyMap<string, ShapeRange>;
