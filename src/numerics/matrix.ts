/** A dense matrix of float64, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** Returns `left * transpose(right)`: `[m, k]` and `[n, k]` give `[m, n]`. */
export type MatrixProduct = (left: Matrix, right: Matrix) => Promise<Matrix>;

/** Multiplies here, in one thread: for small matrices and where no runtime is at hand. See {@link MatrixProduct}. */
export const multiplyHere: MatrixProduct = async (left, right) => {
  const { rows, columns: depth } = left;
  const columns = right.rows;
  const values = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const a = left.values.subarray(row * depth, (row + 1) * depth);
    for (let column = 0; column < columns; column++) {
      const start = column * depth;
      let sum = 0;
      for (let index = 0; index < depth; index++) sum += a[index]! * right.values[start + index]!;
      values[row * columns + column] = sum;
    }
  }
  return { rows, columns, values };
};

/** Part of a matrix: rows and columns from the first up to, but not including, the second number. */
export interface Block {
  readonly rows: readonly [number, number];
  readonly columns: readonly [number, number];
}

/** Returns a copy of a block. */
export function copyBlock(matrix: Matrix, { rows, columns }: Block): Matrix {
  const count = rows[1] - rows[0];
  const width = columns[1] - columns[0];
  const values = new Float64Array(count * width);
  for (let row = 0; row < count; row++) {
    const start = (rows[0] + row) * matrix.columns;
    values.set(matrix.values.subarray(start + columns[0], start + columns[1]), row * width);
  }
  return { rows: count, columns: width, values };
}

/** Writes a block over the place that begins at a row and a column. */
export function pasteBlock(matrix: Matrix, block: Matrix, row: number, column: number): void {
  for (let index = 0; index < block.rows; index++) {
    const values = block.values.subarray(index * block.columns, (index + 1) * block.columns);
    matrix.values.set(values, (row + index) * matrix.columns + column);
  }
}

/** Takes a block from the place that begins at a row and a column. */
export function subtractBlock(matrix: Matrix, block: Matrix, row: number, column: number): void {
  for (let index = 0; index < block.rows; index++) {
    const start = (row + index) * matrix.columns + column;
    const from = index * block.columns;
    for (let offset = 0; offset < block.columns; offset++) {
      matrix.values[start + offset]! -= block.values[from + offset]!;
    }
  }
}

/**
 * `target -= left * right` for `[m, k]` and `[k, n]`, in place and in this thread: with few columns k it is quicker than
 * sending `[m, n]` numbers to another process and back.
 */
export function subtractProduct(target: Matrix, left: Matrix, right: Matrix): void {
  const { rows, columns } = target;
  const depth = left.columns;
  for (let row = 0; row < rows; row++) {
    const own = target.values.subarray(row * columns, (row + 1) * columns);
    let k = 0;
    // Four at once: the row is read and written once for all of them.
    for (; k + 3 < depth; k += 4) {
      const from = row * depth + k;
      const [f0, f1] = [left.values[from]!, left.values[from + 1]!];
      const [f2, f3] = [left.values[from + 2]!, left.values[from + 3]!];
      const start = k * columns;
      for (let column = 0; column < columns; column++) {
        const at = start + column;
        own[column]! -=
          f0 * right.values[at]! +
          f1 * right.values[at + columns]! +
          (f2 * right.values[at + 2 * columns]! + f3 * right.values[at + 3 * columns]!);
      }
    }
    for (; k < depth; k++) {
      const factor = left.values[row * depth + k]!;
      const start = k * columns;
      for (let column = 0; column < columns; column++) {
        own[column]! -= factor * right.values[start + column]!;
      }
    }
  }
}

/** Returns the transpose. */
export function transpose({ rows, columns, values }: Matrix): Matrix {
  const turned = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = values[row * columns + column]!;
    }
  }
  return { rows: columns, columns: rows, values: turned };
}
