/** Types of what MIL operators make, by the rules of Apple's own front end. One row for each operator. */

import { agree, conv, pad, pool } from './infer-windows.ts';
import type { MilDataType, MilDim, MilTensorType } from './mil.ts';
import { MilShapeError } from './mil-shape-error.ts';
import type { Operands, Rule } from './operands.ts';

const same: Rule = (o) => [o.typeOf('x')];

/** Returns the shape of a broadcast. Throws an Error when two sizes do not fit. */
function broadcastDims(a: readonly MilDim[], b: readonly MilDim[]): readonly MilDim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [x, y] = [a[axis - rank + a.length], b[axis - rank + b.length]];
    if (axis < rank - a.length) return y;
    if (axis < rank - b.length) return x;
    if (x === 1) return y;
    if (y === 1 || x === y) return x;
    if (x === undefined || y === undefined) return x ?? y;
    throw new MilShapeError(`shapes [${a}] and [${b}] do not broadcast`);
  });
}

const binary: Rule = (o) => [
  { dataType: o.typeOf('x').dataType, dims: broadcastDims(o.typeOf('x').dims, o.typeOf('y').dims) },
];
const compare: Rule = (o) => [
  { dataType: 'bool', dims: broadcastDims(o.typeOf('x').dims, o.typeOf('y').dims) },
];

const reduce: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const axes = new Set(axesOf(o, 'axes', dims.length));
  const keep = o.numbers('keep_dims')?.[0] === 1;
  return [
    { dataType, dims: dims.flatMap((dim, axis) => (axes.has(axis) ? (keep ? [1] : []) : [dim])) },
  ];
};

function axesOf(o: Operands, parameter: string, rank: number): readonly number[] {
  return (o.numbers(parameter) ?? []).map((axis) => {
    if (axis < -rank || axis >= rank)
      throw new MilShapeError(`${parameter} ${axis} is outside rank ${rank}`);
    return axis < 0 ? axis + rank : axis;
  });
}

function axisOf(o: Operands, rank: number): number {
  return axesOf(o, 'axis', rank)[0] ?? 0;
}

const matmul: Rule = (o) => {
  const [x, y] = [o.typeOf('x'), o.typeOf('y')];
  const turned = (dims: readonly MilDim[], parameter: string): readonly MilDim[] =>
    o.numbers(parameter)?.[0] === 1 ? [...dims.slice(0, -2), dims.at(-1), dims.at(-2)] : dims;
  const [a, b] = [turned(x.dims, 'transpose_x'), turned(y.dims, 'transpose_y')];
  if (a.length < 2 || b.length < 2) throw new MilShapeError('operands need rank 2');
  agree(a.at(-1), b.at(-2), 'inner size');
  return [
    {
      dataType: x.dataType,
      dims: [...broadcastDims(a.slice(0, -2), b.slice(0, -2)), a.at(-2), b.at(-1)],
    },
  ];
};

const linear: Rule = (o) => {
  const [x, weight] = [o.typeOf('x'), o.typeOf('weight')];
  agree(x.dims.at(-1), weight.dims[1], 'input size of x and weight');
  agree(o.typeOf('bias').dims[0], weight.dims[0], 'output size of bias and weight');
  return [{ dataType: x.dataType, dims: [...x.dims.slice(0, -1), weight.dims[0]] }];
};

const select: Rule = (o) => {
  const [cond, a, b] = [o.typeOf('cond'), o.typeOf('a'), o.typeOf('b')];
  if (`${cond.dims}` !== `${a.dims}` || `${a.dims}` !== `${b.dims}`) {
    throw new MilShapeError(
      `cond, a and b need one shape (got [${cond.dims}], [${a.dims}], [${b.dims}])`,
    );
  }
  return [a];
};

const gather: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const axis = axisOf(o, dims.length);
  return [
    {
      dataType,
      dims: [...dims.slice(0, axis), ...o.typeOf('indices').dims, ...dims.slice(axis + 1)],
    },
  ];
};

const gatherNd: Rule = (o) => {
  const [x, indices] = [o.typeOf('x'), o.typeOf('indices')];
  const depth = indices.dims.at(-1) ?? 0;
  return [{ dataType: x.dataType, dims: [...indices.dims.slice(0, -1), ...x.dims.slice(depth)] }];
};

const concat: Rule = (o) => {
  const list = o.listOf('values');
  const [first] = list;
  if (first === undefined) throw new MilShapeError('values are empty');
  const axis = axisOf(o, first.dims.length);
  const sizes = list.map(({ dims }) => {
    if (dims.length !== first.dims.length) throw new MilShapeError('values differ in rank');
    dims.forEach((dim, at) => {
      if (at !== axis) agree(dim, first.dims[at], `size of axis ${at}`);
    });
    return dims[axis];
  });
  if (sizes.includes(0)) throw new MilShapeError('a value is empty');
  const total = sizes.reduce<MilDim>(
    (sum, size) => (sum === undefined || size === undefined ? undefined : sum + size),
    0,
  );
  return [
    { dataType: first.dataType, dims: first.dims.map((dim, at) => (at === axis ? total : dim)) },
  ];
};

const split: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const axis = axisOf(o, dims.length);
  const sizes = o.numbers('split_sizes') ?? [];
  agree(
    dims[axis],
    sizes.reduce((sum, size) => sum + size, 0),
    'sum of split_sizes and size of the axis',
  );
  return sizes.map((size) => ({
    dataType,
    dims: dims.map((dim, at) => (at === axis ? size : dim)),
  }));
};

const slice: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const list = (parameter: string): readonly number[] => o.numbers(parameter) ?? [];
  const [begin, end, stride] = [list('begin'), list('end'), list('stride')];
  const [beginMask, endMask, squeeze] = [
    list('begin_mask'),
    list('end_mask'),
    list('squeeze_mask'),
  ];
  return [
    {
      dataType,
      dims: dims.flatMap((dim, axis) => {
        if (squeeze[axis] === 1) return [];
        const step = stride[axis] ?? 1;
        const whole = beginMask[axis] === 1 && endMask[axis] === 1 && Math.abs(step) === 1;
        if (whole) return [dim];
        if (dim === undefined || begin.length === 0 || end.length === 0) return [undefined];
        const at = (value: number): number =>
          Math.min(Math.max(value < 0 ? value + dim : value, 0), dim);
        const from = beginMask[axis] === 1 ? (step > 0 ? 0 : dim) : at(begin[axis] ?? 0);
        const to = endMask[axis] === 1 ? (step > 0 ? dim : 0) : at(end[axis] ?? dim);
        return [Math.max(0, Math.ceil((to - from) / step))];
      }),
    },
  ];
};

const reshape: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const shape = o.numbers('shape');
  if (shape === undefined) {
    const rank = o.typeOf('shape').dims[0] ?? 0;
    return [{ dataType, dims: new Array<MilDim>(rank).fill(undefined) }];
  }
  const total = product(dims);
  const known = shape.reduce((size, dim) => (dim === -1 ? size : size * dim), 1);
  if (!shape.includes(-1)) agree(total, known, 'number of elements');
  const rest = total === undefined ? undefined : total / known;
  return [{ dataType, dims: shape.map((dim) => (dim === -1 ? rest : dim)) }];
};

function product(dims: readonly MilDim[]): MilDim {
  return dims.reduce<MilDim>(
    (all, dim) => (all === undefined || dim === undefined ? undefined : all * dim),
    1,
  );
}

const transpose: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const perm = axesOf(o, 'perm', dims.length);
  if (new Set(perm).size !== dims.length)
    throw new MilShapeError(`perm [${perm}] is no permutation of rank ${dims.length}`);
  return [{ dataType, dims: perm.map((axis) => dims[axis]) }];
};

const tile: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const reps = o.numbers('reps') ?? [];
  agree(reps.length, dims.length, 'length of reps and rank');
  return [
    {
      dataType,
      dims: dims.map((dim, axis) => (dim === undefined ? undefined : dim * (reps[axis] ?? 1))),
    },
  ];
};

const RULES: Readonly<Record<string, Rule>> = {
  linear,
  matmul,
  select,
  gather,
  gather_nd: gatherNd,
  concat,
  split,
  slice_by_index: slice,
  reshape,
  transpose,
  tile,
  pad,
  conv,
  add: binary,
  sub: binary,
  mul: binary,
  real_div: binary,
  floor_div: binary,
  pow: binary,
  maximum: binary,
  minimum: binary,
  equal: compare,
  not_equal: compare,
  less: compare,
  less_equal: compare,
  greater: compare,
  greater_equal: compare,
  logical_and: compare,
  logical_or: compare,
  reduce_mean: reduce,
  reduce_sum: reduce,
  reduce_max: reduce,
  reduce_min: reduce,
  avg_pool: pool,
  max_pool: pool,
  cast: (o) => [{ dataType: o.text('dtype') as MilDataType, dims: o.typeOf('x').dims }],
  constexpr_affine_dequantize: (o) => [
    { dataType: o.typeOf('scale').dataType, dims: o.typeOf('quantized_data').dims },
  ],
  constexpr_blockwise_shift_scale: (o) => [
    { dataType: o.typeOf('scale').dataType, dims: o.typeOf('data').dims },
  ],
};

/** Returns the types of the outputs of an operation. Throws an Error that says what does not fit. */
export function inferMilTypes(operands: Operands): readonly MilTensorType[] {
  return (RULES[operands.type] ?? same)(operands);
}
