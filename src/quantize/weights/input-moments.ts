/** Second moments of the activations that a linear layer multiplies: what rounding by output error needs. */
export interface InputMoments {
  /** Features of the input, K. */
  readonly width: number;
  /** Activation vectors (tokens) that went in. */
  readonly rowCount: number;
  /** Sum of squares of each feature. */
  readonly squares: Float32Array;
  /**
   * Sum of x * transpose(x) over all vectors, K x K, row-major, symmetric. Absent where nobody
   * wants it, or where K is too large for it.
   */
  readonly gram?: Float32Array;
}

/** Returns the moments of an activation of the float source, by value name. */
export type ReadInputMoments = (input: string) => Promise<InputMoments>;

/** Share of the mean squared activation that is added to each (GPTQ's `percdamp`). */
const DAMPING = 0.01;

/** Returns the moments of an activation that was never seen: all features weigh the same. */
export function noMoments(width: number): InputMoments {
  return { width, rowCount: 0, squares: new Float32Array(width) };
}

/** Returns moments with the squares that stand on the diagonal of `gram`. */
export function momentsOfGram(width: number, rowCount: number, gram: Float32Array): InputMoments {
  const squares = Float32Array.from({ length: width }, (_, index) => gram[index * (width + 1)]!);
  return { width, rowCount, squares, gram };
}

/**
 * Returns the moments of all `inputs` together, as a weight that multiplies each of them sees them; an
 * input that is named twice counts twice. No more than two Gram matrices are in memory. Without the Gram matrix
 * of any of them the sum has none.
 */
export async function sumMoments(
  inputs: readonly string[],
  read: ReadInputMoments,
): Promise<InputMoments> {
  const [first = '', ...others] = inputs;
  let sum = await read(first);
  for (const input of others) sum = addMoments(sum, await read(input));
  return sum;
}

function addMoments(a: InputMoments, b: InputMoments): InputMoments {
  if (a.rowCount === 0) return b;
  if (b.rowCount === 0) return a;
  const { width } = a;
  const rowCount = a.rowCount + b.rowCount;
  const squares = addFloats(a.squares, b.squares);
  if (a.gram === undefined || b.gram === undefined) return { width, rowCount, squares };
  return { width, rowCount, squares, gram: addFloats(a.gram, b.gram) };
}

function addFloats(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, index) => value + b[index]!);
}

/** Returns what is added to the diagonal: 1 % of its mean; 1 when nothing ever was active. */
export function dampingOf({ width, squares }: InputMoments): number {
  const sum = squares.reduce((total, square) => total + square, 0);
  return sum > 0 ? (DAMPING * sum) / width : 1;
}

/** Returns the damped sum of squares of each feature: never zero, dead features weigh little. */
export function importanceOf(moments: InputMoments): Float64Array {
  const damping = dampingOf(moments);
  return Float64Array.from(moments.squares, (square) => square + damping);
}
