import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { quantize } from '../../src/numerics/affine.ts';
import { float16ArrayToFloat32, float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { createRandom } from '../../src/numerics/random.ts';
import {
  createWeightKernel,
  foldMaxima,
  type WeightBlock,
} from '../../src/numerics/weight-kernel.ts';

// Large sums, checked for many seeds: seconds on busy cores.
vi.setConfig({ testTimeout: 60_000 });

const kernel = createWeightKernel();

/** A block and the float32 values it stands for. */
interface Case {
  readonly block: WeightBlock;
  readonly values: Float32Array;
}

function float16Case(rowCount: number, columnCount: number, bits: Uint16Array): Case {
  const bytes = new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
  return {
    block: { name: 'w', dataType: 'float16', rowCount, columnCount, bytes },
    values: float16ArrayToFloat32(bits),
  };
}

function float32Case(rowCount: number, columnCount: number, values: Float32Array): Case {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { block: { name: 'w', dataType: 'float32', rowCount, columnCount, bytes }, values };
}

function randomCase(
  dataType: WeightBlock['dataType'],
  rowCount: number,
  columnCount: number,
  seed: number,
): Case {
  const random = createRandom(seed);
  const values = Float32Array.from({ length: rowCount * columnCount }, () => random.normal());
  return dataType === 'float16'
    ? float16Case(rowCount, columnCount, float32ArrayToFloat16(values))
    : float32Case(rowCount, columnCount, values);
}

/** The formula of affine.ts, one channel at a time. */
function reference(
  { block, values }: Case,
  scales: Float32Array,
  limit: number,
  axis: 'rows' | 'columns',
): Int8Array {
  const into = new Int8Array(values.length);
  const range = { min: -limit, max: limit };
  for (let index = 0; index < values.length; index++) {
    const channel =
      axis === 'rows' ? Math.floor(index / block.columnCount) : index % block.columnCount;
    const parameters = { scale: scales[channel]!, zeroPoint: 0 };
    quantize(values.subarray(index, index + 1), parameters, range, into.subarray(index, index + 1));
  }
  return into;
}

async function expectEqualToFormula(item: Case, seed: number, limit = 127): Promise<void> {
  const { block, values } = item;
  const random = createRandom(seed);
  const draw = (): number => 0.001 + random.uniform() / 8;
  const rowScales = Float32Array.from({ length: block.rowCount }, draw);
  const columnScales = Float32Array.from({ length: block.columnCount }, draw);
  const into = new Int8Array(values.length);
  await kernel.quantizeRows(block, rowScales, limit, into);
  expect(into).toEqual(reference(item, rowScales, limit, 'rows'));
  await kernel.quantizeColumns(block, columnScales, limit, into);
  expect(into).toEqual(reference(item, columnScales, limit, 'columns'));
}

function maximaOf({ block, values }: Case): { rows: Float32Array; columns: Float32Array } {
  const rows = new Float32Array(block.rowCount);
  const columns = new Float32Array(block.columnCount);
  values.forEach((value, index) => {
    const row = Math.floor(index / block.columnCount);
    const column = index % block.columnCount;
    rows[row] = Math.max(rows[row]!, Math.abs(value));
    columns[column] = Math.max(columns[column]!, Math.abs(value));
  });
  return { rows, columns };
}

/** Largest |a + b| of pairs of neighbours in a row, and of rows 2k and 2k + 1 in a column. */
function pairSumsOf({ block, values }: Case): { rows: Float32Array; columns: Float32Array } {
  const { rowCount, columnCount } = block;
  const rows = new Float32Array(rowCount);
  const columns = new Float32Array(columnCount);
  const at = (row: number, column: number): number => values[row * columnCount + column]!;
  for (let row = 0; row < rowCount; row++) {
    for (let column = 0; column < columnCount; column++) {
      if (column % 2 === 0 && column + 1 < columnCount) {
        const sum = Math.fround(at(row, column) + at(row, column + 1));
        rows[row] = Math.max(rows[row]!, Math.abs(sum));
      }
      if (row % 2 === 0 && row + 1 < rowCount) {
        const sum = Math.fround(at(row, column) + at(row + 1, column));
        columns[column] = Math.max(columns[column]!, Math.abs(sum));
      }
    }
  }
  return { rows, columns };
}

async function expectMagnitudes(item: Case): Promise<void> {
  const maxima = maximaOf(item);
  expect(await kernel.absMaxRows(item.block)).toEqual(maxima.rows);
  expect(await kernel.absMaxColumns(item.block)).toEqual(maxima.columns);
  const sums = pairSumsOf(item);
  expect(await kernel.pairSumRows(item.block)).toEqual(sums.rows);
  expect(await kernel.pairSumColumns(item.block)).toEqual(sums.columns);
}

const FINITE_PATTERNS = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter(
  (bits) => (bits & 0x7c00) !== 0x7c00,
);

describe('The weight kernel', () => {
  test('equals the formula on every finite float16 pattern, by rows and by columns.', async () => {
    const columnCount = 62;
    const item = float16Case(FINITE_PATTERNS.length / columnCount, columnCount, FINITE_PATTERNS);
    expect(item.values).toHaveLength(63488);
    for (const scale of [2 ** -14, 0.0078125, 0.03, 1, 515.7, 65504 / 127, 1e-30]) {
      const rows = new Float32Array(item.block.rowCount).fill(scale);
      const into = new Int8Array(item.values.length);
      await kernel.quantizeRows(item.block, rows, 127, into);
      expect(into).toEqual(reference(item, rows, 127, 'rows'));
      const columns = new Float32Array(columnCount).fill(scale);
      await kernel.quantizeColumns(item.block, columns, 127, into);
      expect(into).toEqual(reference(item, columns, 127, 'columns'));
    }
  });

  test.each(['float16', 'float32'] as const)(
    'handles any shape of %s, without touching a neighbour.',
    async (dataType) => {
      const shape = fc.integer({ min: 1, max: 40 });
      await fc.assert(
        fc.asyncProperty(shape, shape, fc.nat(), async (rowCount, columnCount, seed) => {
          const item = randomCase(dataType, rowCount, columnCount, seed);
          await expectEqualToFormula(item, seed);
          await expectMagnitudes(item);
        }),
        { numRuns: 60 },
      );
    },
  );

  test.each([
    ['float16', 3, 40001],
    ['float32', 3, 40001],
    ['float16', 20000, 16],
    ['float32', 20000, 16],
  ] as const)(
    'handles %s of %ix%i, which takes several tiles.',
    async (dataType, rows, columns) => {
      const item = randomCase(dataType, rows, columns, 5);
      await expectEqualToFormula(item, 6);
      await expectMagnitudes(item);
    },
  );

  test('gives the same for bytes read into its own input as for any others.', async () => {
    for (const dataType of ['float16', 'float32'] as const) {
      const item = randomCase(dataType, 37, 20001, 8);
      const bytes = kernel.input(item.block.bytes.length);
      bytes.set(item.block.bytes);
      const own = { block: { ...item.block, bytes }, values: item.values };
      await expectEqualToFormula(own, 9);
      await expectMagnitudes(own);
    }
  });

  test('clamps to the limit it is given, however small the scale.', async () => {
    const item = float32Case(1, 4, Float32Array.of(3e38, -3e38, 7.5, -6.5));
    const into = new Int8Array(4);
    await kernel.quantizeRows(item.block, Float32Array.of(1), 7, into);
    expect([...into]).toEqual([7, -7, 7, -6]);
    await kernel.quantizeRows(item.block, Float32Array.of(1e-38), 127, into);
    expect([...into]).toEqual([127, -127, 127, -127]);
  });

  test('gives zero for no columns and nothing for no rows.', async () => {
    const empty = { name: 'w', dataType: 'float16', bytes: new Uint8Array(0) } as const;
    expect(await kernel.absMaxRows({ ...empty, rowCount: 2, columnCount: 0 })).toEqual(
      new Float32Array(2),
    );
    expect(await kernel.absMaxRows({ ...empty, rowCount: 0, columnCount: 2 })).toHaveLength(0);
    expect(await kernel.absMaxColumns({ ...empty, rowCount: 0, columnCount: 2 })).toEqual(
      new Float32Array(2),
    );
  });

  test('refuses each NaN and infinity of float16, naming tensor, row and column.', async () => {
    for (let bits = 0; bits < 65536; bits++) {
      if ((bits & 0x7c00) !== 0x7c00) continue;
      const data = new Uint16Array(27);
      data[13] = bits;
      const { block } = float16Case(3, 9, data);
      const kind = (bits & 0x7fff) === 0x7c00 ? 'infinity' : 'NaN';
      const named = { ...block, name: 'h.0.q', firstRow: 100 };
      await expect(kernel.absMaxRows(named)).rejects.toThrow(
        `h.0.q: the weight holds ${kind} in row 101`,
      );
      await expect(kernel.absMaxColumns(named)).rejects.toThrow(
        `h.0.q: the weight holds ${kind} in column 4`,
      );
    }
  });

  test('refuses NaN and infinity of float32.', async () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const { block } = float32Case(2, 3, Float32Array.of(0, 0, 0, 0, value, 0));
      await expect(kernel.absMaxRows(block)).rejects.toThrow(UnsupportedError);
      await expect(kernel.absMaxColumns(block)).rejects.toThrow('in column 1');
    }
  });

  test('adds pairs with their signs: neighbours in a row, rows 2k and 2k + 1 in a column.', async () => {
    const { block } = float32Case(3, 3, Float32Array.of(3, 4, 9, -5, 2, -9, 8, -8, 1));
    expect([...(await kernel.pairSumRows(block))]).toEqual([7, 3, 0]);
    expect([...(await kernel.pairSumColumns(block))]).toEqual([2, 6, 0]);
    await expect(kernel.pairSumColumns({ ...block, firstRow: 1 })).rejects.toThrow(
      'w: a block starts inside a pair of rows (got row 1)',
    );
  });

  test('refuses blocks, scales and outputs of the wrong size.', async () => {
    const { block } = float32Case(2, 3, new Float32Array(6));
    const short = { ...block, bytes: block.bytes.subarray(1) };
    await expect(kernel.absMaxRows(short)).rejects.toThrow('got 23 bytes, expected 24');
    const one = Float32Array.of(1);
    await expect(kernel.quantizeRows(block, one, 127, new Int8Array(6))).rejects.toThrow(
      'got 1 scales for 2',
    );
    await expect(
      kernel.quantizeColumns(block, new Float32Array(3), 128, new Int8Array(6)),
    ).rejects.toThrow('limit 128');
  });

  test('column maxima of blocks fold to those of the whole.', () => {
    const maxima = Float32Array.of(1, 5, 0);
    foldMaxima(maxima, Float32Array.of(2, 3, 0));
    expect([...maxima]).toEqual([2, 5, 0]);
  });
});
