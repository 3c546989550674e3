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
