/**
 * What every MIL operator takes: the one table by which programs are built, checked and read. A row is
 * `parameter=types[/group][!][?default]`: `!` must be a constant, `?` may be left out (and then means the
 * default, which is written all the same), parameters of one group share their element type.
 */
import type { MilDataType } from './mil.ts';

/** Element types by letter: F float, N number, I index, B bool, S string, A any, Q 8-bit integer, L blockwise data. */
const TYPE_SETS: Readonly<Record<string, readonly MilDataType[]>> = {
  F: ['fp16', 'fp32'],
  N: ['fp16', 'fp32', 'int32'],
  I: ['int32'],
  B: ['bool'],
  S: ['string'],
  A: ['fp16', 'fp32', 'int32', 'bool'],
  Q: ['int8', 'uint8'],
  L: ['int4', 'uint4', 'int8', 'uint8'],
};

const BINARY = 'x=N/T y=N/T';
const COMPARE = 'x=N/T y=N/T';
const UNARY = 'x=F/T';
const REDUCE = 'x=N/T axes=I! keep_dims=B!?false';
const POOL = 'x=F/T kernel_sizes=I! strides=I! pad_type=S! pad=I!';

/** Rows by operator; `@n` in front is the first specification version that knows it. */
const ROWS: Readonly<Record<string, string>> = {
  linear: 'x=F/T weight=F/T! bias=F/T!',
  matmul: 'x=N/T y=N/T transpose_x=B!?false transpose_y=B!?false',
  add: BINARY,
  sub: BINARY,
  mul: BINARY,
  real_div: BINARY,
  floor_div: BINARY,
  pow: BINARY,
  maximum: BINARY,
  minimum: BINARY,
  equal: COMPARE,
  not_equal: COMPARE,
  less: COMPARE,
  less_equal: COMPARE,
  greater: COMPARE,
  greater_equal: COMPARE,
  logical_and: 'x=B y=B',
  logical_or: 'x=B y=B',
  logical_not: 'x=B',
  select: 'cond=B a=A/T b=A/T',
  cast: 'x=A dtype=S!',
  identity: 'x=A',
  abs: 'x=N/T',
  sqrt: UNARY,
  exp: UNARY,
  erf: UNARY,
  tanh: UNARY,
  sigmoid: UNARY,
  silu: UNARY,
  relu: UNARY,
  sin: UNARY,
  cos: UNARY,
  floor: UNARY,
  ceil: UNARY,
  square: 'x=N/T',
  rsqrt: 'x=F/T epsilon=F!',
  gelu: 'x=F/T mode=S!?"EXACT"',
  clip: 'x=F/T alpha=F/T! beta=F/T!',
  softmax: 'x=F/T axis=I!?-1',
  reduce_mean: REDUCE,
  reduce_sum: REDUCE,
  reduce_max: REDUCE,
  reduce_min: REDUCE,
  layer_norm: 'x=F axes=I! gamma=F/U! beta=F/U! epsilon=F/U!',
  batch_norm: 'x=F mean=F/U! variance=F/U! gamma=F/U! beta=F/U! epsilon=F/U!',
  instance_norm: 'x=F gamma=F/U! beta=F/U! epsilon=F/U!',
  gather: 'x=N indices=I axis=I!?0 batch_dims=I!?0',
  gather_nd: 'x=N indices=I batch_dims=I!?0',
  concat: 'values=A/T axis=I! interleave=B!?false',
  split: 'x=A split_sizes=I! axis=I!',
  slice_by_index: 'x=A begin=I end=I stride=I! begin_mask=B! end_mask=B! squeeze_mask=B!',
  reshape: 'x=A shape=I',
  transpose: 'x=A perm=I!',
  tile: 'x=A reps=I',
  cumsum: 'x=N axis=I!?0 exclusive=B!?false reverse=B!?false',
  band_part: 'x=A lower=I!?-1 upper=I!?-1',
  pad: 'x=F/T pad=I! mode=S!?"constant" constant_val=F/T!',
  conv: 'x=F/T weight=F/T! bias=F/T! strides=I! pad_type=S! pad=I! dilations=I! groups=I!?1',
  avg_pool: `${POOL} exclude_padding_from_average=B!?false ceil_mode=B!?false`,
  max_pool: `${POOL} ceil_mode=B!?false`,
  constexpr_affine_dequantize: '@7 quantized_data=Q/Q! zero_point=Q/Q! scale=F! axis=I!',
  constexpr_blockwise_shift_scale: '@9 data=L! scale=F!',
};

/** One parameter of an operator. */
export interface MilParameter {
  readonly name: string;
  readonly types: readonly MilDataType[];
  /** Parameters of one group have one element type. */
  readonly group: string | undefined;
  readonly isConstant: boolean;
  /** What it means to leave it out; it is written all the same, because Apple's compiler asks for it. */
  readonly fallback: number | boolean | string | undefined;
}

/** An operator and its parameters, in the order in which they are written. */
export interface MilSignature {
  readonly type: string;
  /** First specification version that has it. */
  readonly since: number;
  readonly parameters: readonly MilParameter[];
}

const SIGNATURES: ReadonlyMap<string, MilSignature> = new Map(
  Object.entries(ROWS).map(([type, row]) => [type, parseRow(type, row)]),
);

function parseRow(type: string, row: string): MilSignature {
  const words = row.split(' ');
  const since = words[0]?.startsWith('@') ? Number(words.shift()?.slice(1)) : 6;
  return { type, since, parameters: words.map(parseParameter) };
}

function parseParameter(word: string): MilParameter {
  const match = /^(\w+)=(\w)(?:\/(\w))?(!?)(?:\?(.+))?$/.exec(word);
  if (match === null) throw new Error(`signature "${word}" is misspelled`);
  const [, name = '', letter = '', group, constant, fallback] = match;
  return {
    name,
    types: TYPE_SETS[letter] ?? [],
    group,
    isConstant: constant === '!',
    fallback: fallback === undefined ? undefined : JSON.parse(fallback),
  };
}

/** Returns the signature of an operator, or undefined for one that the table does not know. */
export function signatureOf(type: string): MilSignature | undefined {
  return SIGNATURES.get(type);
}
/** Returns the names of all operators of the table. */
export function knownOperators(): readonly string[] {
  return [...SIGNATURES.keys()];
}
/** Says whether an operator makes a constant from constants while the model is loaded. */
export function isConstexpr(type: string): boolean {
  return type.startsWith('constexpr_');
}
/** Parameters that only newer operator sets have, by operator: first version, name, value. */
export const LATER_PARAMETERS: Readonly<
  Record<string, readonly (readonly [since: number, name: string, fallback: boolean])[]>
> = {
  gather: [[8, 'validate_indices', false]],
  gather_nd: [[8, 'validate_indices', false]],
};
