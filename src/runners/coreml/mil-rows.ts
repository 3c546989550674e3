/** One row for each MIL operator: the ONNX nodes that mean the same. */
import { UnsupportedError } from '../../errors.ts';
import { evaluatedCode, type MilCall, type MilRow } from './mil-call.ts';

const ints = (values: readonly number[]): readonly bigint[] => values.map(BigInt);

const unary =
  (opType: string): MilRow =>
  (call) =>
    void call.emit(opType, [call.input('x')], {}, [call.output]);
const binary =
  (opType: string): MilRow =>
  (call) =>
    void call.emit(opType, [call.input('x'), call.input('y')], {}, [call.output]);

const reduce =
  (opType: string): MilRow =>
  (call) => {
    const axes = call.constant('int64', call.numbers('axes'));
    call.emit(
      opType,
      [call.input('x'), axes],
      { keepdims: BigInt(call.numbers('keep_dims')[0] ?? 0) },
      [call.output],
    );
  };

const matmul: MilRow = (call) => {
  const turned = (parameter: string): string => {
    const rank = call.typeOf(parameter).dims.length;
    if (call.numbers(`transpose_${parameter}`)[0] !== 1) return call.input(parameter);
    const perm = Array.from({ length: rank }, (_, axis) =>
      axis < rank - 2 ? axis : 2 * rank - 3 - axis,
    );
    return call.emit('Transpose', [call.input(parameter)], { perm: ints(perm) });
  };
  call.emit('MatMul', [turned('x'), turned('y')], {}, [call.output]);
};

const linear: MilRow = (call) => {
  const weight = call.emit('Transpose', [call.input('weight')], { perm: [1n, 0n] });
  call.emit('Add', [call.emit('MatMul', [call.input('x'), weight]), call.input('bias')], {}, [
    call.output,
  ]);
};

const gelu: MilRow = (call) => {
  const mode = call.text('mode');
  const x = call.input('x');
  if (mode === 'SIGMOID_APPROXIMATION') {
    const scaled = call.emit('Mul', [x, call.constant('float32', [1.702], [])]);
    return void call.emit('Mul', [x, call.emit('Sigmoid', [scaled])], {}, [call.output]);
  }
  call.emit('Gelu', [x], { approximate: mode === 'EXACT' ? 'none' : 'tanh' }, [call.output]);
};

/** rsqrt adds its epsilon first. */
const rsqrt: MilRow = (call) => {
  const sum = call.emit('Add', [
    call.input('x'),
    call.constant('float32', call.numbers('epsilon'), []),
  ]);
  call.emit('Reciprocal', [call.emit('Sqrt', [sum])], {}, [call.output]);
};

const layerNorm: MilRow = (call) => {
  const rank = call.typeOf('x').dims.length;
  const axes = call.numbers('axes').map((axis) => (axis < 0 ? axis + rank : axis));
  if (axes.some((axis, index) => axis !== rank - axes.length + index))
    throw new UnsupportedError(
      'Core ML program: layer_norm over inner axes has no form in the reference evaluation. Run it on a Mac.',
    );
  call.emit(
    'LayerNormalization',
    [call.input('x'), call.input('gamma'), call.input('beta')],
    { axis: BigInt(axes[0] ?? -1), epsilon: call.numbers('epsilon')[0] ?? 0 },
    [call.output],
  );
};

const wide = (call: MilCall, parameter: string): string =>
  call.emit('Cast', [call.input(parameter)], { to: 7n });

const slice: MilRow = (call) => {
  const rank = call.typeOf('x').dims.length;
  const [begin, end, stride] = [call.numbers('begin'), call.numbers('end'), call.numbers('stride')];
  const [beginMask, endMask, squeeze] = [
    call.numbers('begin_mask'),
    call.numbers('end_mask'),
    call.numbers('squeeze_mask'),
  ];
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const starts = axes.map((axis) =>
    beginMask[axis] === 1 && squeeze[axis] !== 1 ? 0 : (begin[axis] ?? 0),
  );
  const ends = axes.map((axis) => {
    if (squeeze[axis] === 1) return begin[axis] === -1 ? 2 ** 31 : (begin[axis] ?? 0) + 1;
    return endMask[axis] === 1 ? 2 ** 31 : (end[axis] ?? 0);
  });
  const gone = axes.filter((axis) => squeeze[axis] === 1);
  const operands = [
    call.input('x'),
    ...[starts, ends, axes, axes.map((axis) => stride[axis] ?? 1)].map((list) =>
      call.constant('int64', list),
    ),
  ];
  if (gone.length === 0) return void call.emit('Slice', operands, {}, [call.output]);
  call.emit('Squeeze', [call.emit('Slice', operands), call.constant('int64', gone)], {}, [
    call.output,
  ]);
};

/** Spatial padding: all begins, then all ends; MIL has them in pairs. */
function pads(call: MilCall): readonly bigint[] {
  const pairs =
    call.text('pad_type') === 'custom' ? call.numbers('pad') : call.numbers('pad').map(() => 0);
  return ints([
    ...pairs.filter((_, index) => index % 2 === 0),
    ...pairs.filter((_, index) => index % 2 === 1),
  ]);
}

const conv: MilRow = (call) =>
  void call.emit(
    'Conv',
    [call.input('x'), call.input('weight'), call.input('bias')],
    {
      strides: ints(call.numbers('strides')),
      dilations: ints(call.numbers('dilations')),
      group: BigInt(call.numbers('groups')[0] ?? 1),
      pads: pads(call),
    },
    [call.output],
  );

const batchNorm: MilRow = (call) =>
  void call.emit(
    'BatchNormalization',
    ['x', 'gamma', 'beta', 'mean', 'variance'].map((name) => call.input(name)),
    { epsilon: call.numbers('epsilon')[0] ?? 0 },
    [call.output],
  );

const dequantize =
  (data: string): MilRow =>
  (call) => {
    const scale =
      call.typeOf('scale').dims.length > 1
        ? call.emit('Squeeze', [call.input('scale'), call.constant('int64', [1])])
        : call.input('scale');
    call.emit('DequantizeLinear', [call.input(data), scale], { axis: 0n }, [call.output]);
  };

/** Rows by MIL operator. */
export const MIL_ROWS: Readonly<Record<string, MilRow>> = {
  identity: unary('Identity'),
  abs: unary('Abs'),
  sqrt: unary('Sqrt'),
  exp: unary('Exp'),
  erf: unary('Erf'),
  tanh: unary('Tanh'),
  sigmoid: unary('Sigmoid'),
  relu: unary('Relu'),
  sin: unary('Sin'),
  cos: unary('Cos'),
  floor: unary('Floor'),
  ceil: unary('Ceil'),
  logical_not: unary('Not'),
  add: binary('Add'),
  sub: binary('Sub'),
  mul: binary('Mul'),
  real_div: binary('Div'),
  pow: binary('Pow'),
  maximum: binary('Max'),
  minimum: binary('Min'),
  equal: binary('Equal'),
  less: binary('Less'),
  less_equal: binary('LessOrEqual'),
  greater: binary('Greater'),
  greater_equal: binary('GreaterOrEqual'),
  logical_and: binary('And'),
  logical_or: binary('Or'),
  reduce_mean: reduce('ReduceMean'),
  reduce_sum: reduce('ReduceSum'),
  reduce_max: reduce('ReduceMax'),
  reduce_min: reduce('ReduceMin'),
  matmul,
  linear,
  gelu,
  rsqrt,
  layer_norm: layerNorm,
  slice_by_index: slice,
  conv,
  batch_norm: batchNorm,
  constexpr_affine_dequantize: dequantize('quantized_data'),
  constexpr_blockwise_shift_scale: dequantize('data'),
  silu: (call) =>
    void call.emit('Mul', [call.input('x'), call.emit('Sigmoid', [call.input('x')])], {}, [
      call.output,
    ]),
  square: (call) => void call.emit('Mul', [call.input('x'), call.input('x')], {}, [call.output]),
  clip: (call) =>
    void call.emit('Clip', [call.input('x'), call.input('alpha'), call.input('beta')], {}, [
      call.output,
    ]),
  select: (call) =>
    void call.emit('Where', [call.input('cond'), call.input('a'), call.input('b')], {}, [
      call.output,
    ]),
  cast: (call) =>
    void call.emit('Cast', [call.input('x')], { to: evaluatedCode(call.text('dtype')) }, [
      call.output,
    ]),
  softmax: (call) =>
    void call.emit('Softmax', [call.input('x')], { axis: BigInt(call.numbers('axis')[0] ?? -1) }, [
      call.output,
    ]),
  gather: (call) =>
    void call.emit(
      'Gather',
      [call.input('x'), call.input('indices')],
      { axis: BigInt(call.numbers('axis')[0] ?? 0) },
      [call.output],
    ),
  gather_nd: (call) =>
    void call.emit('GatherND', [call.input('x'), wide(call, 'indices')], {}, [call.output]),
  concat: (call) =>
    void call.emit(
      'Concat',
      call.inputs('values'),
      { axis: BigInt(call.numbers('axis')[0] ?? 0) },
      [call.output],
    ),
  split: (call) =>
    void call.emit(
      'Split',
      [call.input('x'), call.constant('int64', call.numbers('split_sizes'))],
      { axis: BigInt(call.numbers('axis')[0] ?? 0) },
      call.operation.outputs.map(({ name }) => name),
    ),
  reshape: (call) =>
    void call.emit('Reshape', [call.input('x'), wide(call, 'shape')], {}, [call.output]),
  transpose: (call) =>
    void call.emit('Transpose', [call.input('x')], { perm: ints(call.numbers('perm')) }, [
      call.output,
    ]),
  tile: (call) => void call.emit('Tile', [call.input('x'), wide(call, 'reps')], {}, [call.output]),
};
