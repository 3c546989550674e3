/** What the rows of `ops/` see of the lowering. */
import { UnsupportedError } from '../../errors.ts';
import type { MilDataType } from '../../formats/coreml/mil.ts';
import type { Node } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { numbersOf } from '../../ops/op-spec.ts';
import type { GraphView } from '../../passes/graph-view.ts';
import type { Builder, Operands, Ref } from './builder.ts';
import { convertConstant, fitNumber } from './convert-constant.ts';

/** Something that is worth knowing about what was written. */
export interface CoremlFinding {
  readonly node: string;
  readonly message: string;
}

/** The state of one lowering. */
export interface Lowering {
  readonly view: GraphView;
  readonly opset: number;
  readonly builder: Builder;
  readonly values: Map<string, Ref>;
  readonly constants: Map<string, Ref>;
  readonly findings: CoremlFinding[];
  /** Nodes that compute angles: fp16 has not enough digits for a position times a frequency. */
  readonly exact: ReadonlySet<Node>;
}

/** One operator: emits what computes the outputs of the node and defines them. */
export type LowerNode = (lowering: Lowering, node: Node) => void;

/** Why a node cannot be lowered; collected, so that all are named at once. */
export class NotLowered extends UnsupportedError {}

/** Returns the element type in which a node computes with floats. */
export function floatOf({ exact }: Lowering, node: Node): 'fp16' | 'fp32' {
  return exact.has(node) ? 'fp32' : 'fp16';
}

/** Returns the shape of a value. Throws {@link NotLowered} when a size depends on data. */
export function shapeOf({ view }: Lowering, value: string): readonly number[] {
  const { shape } = view.facts(value);
  if (shape?.every((dim) => typeof dim === 'number')) return shape as readonly number[];
  throw new NotLowered(`the shape of ${value} depends on values (got [${shape ?? '?'}])`);
}

/** Returns the integers of a value that is known without running. Throws {@link NotLowered} otherwise. */
export function integersOf({ view }: Lowering, value: string): readonly number[] {
  const numbers = numbersOf(view.facts(value));
  if (numbers === undefined)
    throw new NotLowered(`${value} is computed in a run (expected a constant)`);
  return numbers;
}

/** Returns the program's value for an ONNX value, floats as `float`. Booleans stay bool. */
export function read(lowering: Lowering, value: string, float: 'fp16' | 'fp32' = 'fp16'): Ref {
  const ref = lowering.values.get(value) ?? readConstant(lowering, value, float);
  const { dataType } = ref.type;
  const isOtherFloat = dataType !== float && (dataType === 'fp16' || dataType === 'fp32');
  return isOtherFloat ? castTo(lowering, ref, float) : ref;
}

/** Returns a value in another element type: itself, or a cast that is made once. */
export function castTo(lowering: Lowering, ref: Ref, dataType: MilDataType): Ref {
  if (ref.type.dataType === dataType) return ref;
  const key = `${ref.name}|${dataType}`;
  const known = lowering.constants.get(key);
  if (known !== undefined) return known;
  const made = lowering.builder.emit('cast', `${ref.name}_to_${dataType}`, {
    x: ref,
    dtype: dataType,
  });
  lowering.constants.set(key, made);
  return made;
}

/** Returns the constant tensor behind a value of the graph, through nothing but its own name. */
export function tensorOf({ view }: Lowering, value: string): Tensor | undefined {
  const node = view.producer(value);
  const attribute = node?.opType === 'Constant' ? node.attributes.get('value') : undefined;
  return (
    view.graph.initializers.get(value) ??
    (attribute?.kind === 'tensor' ? attribute.value : undefined)
  );
}

function readConstant(lowering: Lowering, value: string, float: 'fp16' | 'fp32'): Ref {
  const key = `${value}|const ${float}`;
  const known = lowering.constants.get(key);
  if (known !== undefined) return known;
  const { builder, view } = lowering;
  const facts = view.facts(value);
  const dataType = milTypeOf(facts.dataType, float);
  const tensor = tensorOf(lowering, value);
  const numbers = numbersOf(facts);
  let made: Ref;
  if (numbers !== undefined && (tensor === undefined || numbers.length < 10)) {
    const dims = (facts.shape ?? []).map(Number);
    const data = {
      kind: 'numbers',
      numbers: numbers.map((one) => fitNumber(one, dataType, value)),
    } as const;
    made = builder.constant(value, { type: { dataType, dims }, data });
  } else if (tensor !== undefined) {
    made = builder.constant(value, convertConstant(tensor, dataType, builder.specification));
  } else throw new NotLowered(`${value} has no value`);
  lowering.constants.set(key, made);
  return made;
}

/** Element types of ONNX by what stands for them; others would have other values in int32. */
export const MIL_KINDS: ReadonlyMap<string, 'float' | 'bool' | 'int32'> = new Map([
  ['float16', 'float'],
  ['float32', 'float'],
  ['bfloat16', 'float'],
  ['bool', 'bool'],
  ['int32', 'int32'],
  ['int64', 'int32'],
]);

/** Returns the element type of a program for one of ONNX. Throws {@link NotLowered} when none stands for it. */
export function milTypeOf(dataType: string | undefined, float: 'fp16' | 'fp32'): MilDataType {
  const kind = MIL_KINDS.get(dataType ?? '');
  if (kind === undefined) throw new NotLowered(`has elements of ${dataType ?? 'an unknown type'}`);
  return kind === 'float' ? float : kind;
}

/** Says that the program's value for an output of a node is `ref`. */
export function define({ values }: Lowering, node: Node, ref: Ref, output = 0): void {
  const name = node.outputs[output];
  if (name !== undefined && name !== '') values.set(name, ref);
}

/** Emits one operation and defines the node's first output as what it makes. */
export function lowerTo(lowering: Lowering, node: Node, type: string, operands: Operands): void {
  define(lowering, node, lowering.builder.emit(type, node.outputs[0] ?? type, operands));
}

/** Returns a value with another static shape: itself when it has it already. */
export function reshaped(
  lowering: Lowering,
  ref: Ref,
  shape: readonly number[],
  wanted: string,
): Ref {
  if (`${ref.type.dims}` === `${shape}` && ref.type.dims.length === shape.length) return ref;
  if (shape.length === 0) return lowering.builder.emit('reshape', wanted, { x: ref, shape: [1] });
  return lowering.builder.emit('reshape', wanted, { x: ref, shape });
}

/** Returns a value repeated to a static shape that it broadcasts to. */
export function expanded(
  lowering: Lowering,
  ref: Ref,
  shape: readonly number[],
  wanted: string,
): Ref {
  const dims = [
    ...new Array<number>(shape.length - ref.type.dims.length).fill(1),
    ...ref.type.dims.map(Number),
  ];
  const full = reshaped(lowering, ref, dims, `${wanted}_rank`);
  const reps = shape.map((dim, axis) => (dims[axis] === dim ? 1 : dim));
  return reps.every((count) => count === 1)
    ? full
    : lowering.builder.emit('tile', wanted, { x: full, reps });
}
