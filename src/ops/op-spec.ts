import type { DataType } from '../ir/data-type.ts';
import type { Dim, Graph, Node } from '../ir/model.ts';

/**
 * What is known about a value without running the model: its type, its shape, and its elements
 * where they are few. Elements may themselves be symbols, because `Shape` of `[batch, 4]` is the
 * vector `(batch, 4)`; that is how shape arithmetic is followed through dynamic models.
 */
export interface Facts {
  readonly dataType?: DataType | undefined;
  readonly shape?: readonly Dim[] | undefined;
  /** Row-major elements, booleans as 0 and 1. Present only when `shape` is static. */
  readonly elements?: readonly Dim[] | undefined;
}

/** What an op may ask about the model around it. */
export interface InferContext {
  /** Version of the operator set of the node's domain. */
  readonly opset: number;
  /** Facts of the outputs of a body (If, Loop, Scan), with the facts of its inputs given. */
  inferBody(graph: Graph, inputs: readonly Facts[]): readonly Facts[];
}

/** Which axes carry features, for ops that multiply by a constant weight. */
interface WeightRole {
  /** Index of the constant weight among the inputs. */
  readonly input: number;
  /** Axis of the output features in the weight as the op reads it. */
  outputAxis(node: Node, rank: number): number;
}

/** Everything autoglm knows about one operator. */
export interface OpSpec {
  readonly opType: string;
  /** Operator set domain; '' is ai.onnx. */
  readonly domain: string;
  /** Facts of the outputs, in order; missing entries are unknown. Never throws on odd input. */
  infer(node: Node, inputs: readonly Facts[], context: InferContext): readonly Facts[];
  readonly weight?: WeightRole;
  /** Multiply-accumulates of one run, or undefined when a dimension is not a number. */
  macs?(node: Node, inputs: readonly Facts[], outputs: readonly Facts[]): number | undefined;
}

/** Nothing is known. */
export const UNKNOWN: Facts = {};

/** Values with more elements are never evaluated; they are weights, not shape arithmetic. */
export const MAX_ELEMENTS = 1024;

/** Returns one spec per op type with the same inference. */
export function specs(
  opTypes: readonly string[],
  infer: OpSpec['infer'],
  domain = '',
): readonly OpSpec[] {
  return opTypes.map((opType) => ({ opType, domain, infer }));
}

/** Returns the elements when every one is a number. */
export function numbersOf(facts: Facts | undefined): readonly number[] | undefined {
  const elements = facts?.elements;
  return elements?.every((element) => typeof element === 'number') ? elements : undefined;
}

/** Returns the single element of a scalar or one-element tensor, when it is a number. */
export function scalarOf(facts: Facts | undefined): number | undefined {
  const elements = numbersOf(facts);
  return elements?.length === 1 ? elements[0] : undefined;
}

/** Returns a non-negative axis for one that may count from the end. */
export function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Returns facts with the elements dropped when they do not fit the limit or the shape. */
export function evaluated(
  dataType: DataType | undefined,
  shape: readonly Dim[] | undefined,
  elements: readonly Dim[] | undefined,
): Facts {
  if (elements === undefined || elements.length > MAX_ELEMENTS) return { dataType, shape };
  return { dataType, shape, elements };
}

/** Returns row-major strides of a static shape. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  }
  return strides;
}

/** Calls back with the multi-index of every element of a static shape, in row-major order. */
export function forEachIndex(
  shape: readonly number[],
  visit: (index: readonly number[]) => void,
): void {
  const index = new Array<number>(shape.length).fill(0);
  const count = shape.reduce((product, dim) => product * dim, 1);
  for (let done = 0; done < count; done++) {
    visit(index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      index[axis] = next;
      if (next < (shape[axis] ?? 0)) break;
      index[axis] = 0;
    }
  }
}
