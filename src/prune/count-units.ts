/** Returns the nearest integer, ties to the even one, as Python's `round` and IEEE 754 do. */
export function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Returns how many of `size` units a share removes: `round(amount * size)` on the double product, half to even,
 * as torch.nn.utils.prune counts (1.0 removes all, 0.5 of 1 none).
 */
export function countToPrune(amount: number, size: number): number {
  return roundHalfToEven(amount * size);
}

/** Returns the multiple that a width is rounded to by itself: what kernels of that size are tiled by. */
export function automaticAlignment(width: number): number {
  if (width >= 4096) return 128;
  return width >= 1024 ? 64 : 8;
}

/**
 * Returns how many units stay when `pruned` of `size` were to go: the nearest multiple of `align`, ties towards
 * keeping. All stay where the nearest multiple is 0 or not below `size`.
 */
export function alignedKeep(size: number, pruned: number, align: number): number {
  const ideal = size - pruned;
  if (pruned === 0) return size;
  const below = Math.floor(ideal / align) * align;
  const above = below + align;
  const keep = ideal - below < above - ideal ? below : above;
  return keep === 0 ? Math.min(align, size) : Math.min(keep, size);
}
