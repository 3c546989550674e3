/** Asks the rule of one node, whose surroundings are written down by hand. */
import type { AttributeLiteral } from '../../../src/ir/attributes.ts';
import { attributes } from '../../../src/ir/attributes.ts';
import type { Dim, Node } from '../../../src/ir/model.ts';
import type { Operand, ResizeContext, RuleContext, Spread } from '../../../src/prune/axis-rule.ts';
import { ruleOf } from '../../../src/prune/rules/index.ts';

type Shape = readonly Dim[];

export interface Surroundings {
  readonly inputs: readonly (Shape | undefined)[];
  readonly outputs: readonly (Shape | undefined)[];
  /** Elements of inputs that are known numbers. */
  readonly numbers?: Readonly<Record<number, readonly number[]>>;
  /** Elements of inputs with symbols, for `resize`. */
  readonly elements?: Readonly<Record<number, readonly Dim[]>>;
  /** Inputs that are the same in every run. */
  readonly constants?: readonly number[];
  /** Inputs that the caller of the model gives. */
  readonly given?: readonly number[];
  /** `input axis` pairs along which an input repeats. */
  readonly repeats?: readonly string[];
  readonly opset?: number;
}

export interface NodeSpec {
  readonly opType: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, AttributeLiteral>>;
}

/** A node with an operand for each shape. */
function nodeOf(
  { opType, domain = '', attributes: literals = {} }: NodeSpec,
  around: Surroundings,
): Node {
  const names = (side: string, shapes: Surroundings['inputs']): string[] =>
    shapes.map((shape, index) => (shape === LEFT_OUT ? '' : `${side}${index}`));
  return {
    name: opType,
    opType,
    domain,
    inputs: names('in', around.inputs),
    outputs: names('out', around.outputs),
    attributes: attributes(literals),
  };
}

/** In the place of an optional input. */
export const LEFT_OUT: Shape = [];

function contextOf(around: Surroundings): RuleContext {
  return {
    opset: around.opset ?? 18,
    shape: ({ side, index }) => {
      const shape = (side === 'input' ? around.inputs : around.outputs)[index];
      return shape === LEFT_OUT ? undefined : shape;
    },
    numbers: (index) => around.numbers?.[index],
    isConstant: (index) => around.constants?.includes(index) ?? false,
    isGiven: (index) => around.given?.includes(index) ?? false,
    repeatsAlong: (index, axis) => around.repeats?.includes(`${index} ${axis}`) ?? false,
  };
}

/** What a spread says, as `in0.2: [0, 1]` for axis 2 of input 0; `-` where no unit lies. */
export interface Told {
  readonly axes: Readonly<Record<string, string>>;
  readonly consumes?: Spread['consumes'];
  readonly equalBlocks?: number;
  readonly copies?: readonly string[];
  readonly kind?: Spread['kind'];
}

/** Returns where units go from an axis such as `in0.2`; the reason when they may not be removed. */
export function follow(
  spec: NodeSpec,
  at: string,
  units: readonly number[],
  around: Surroundings,
): Told | string {
  const node = nodeOf(spec, around);
  const [, side = '', index = '', axis = ''] = /^(in|out)(\d+)\.(\d+)$/.exec(at) ?? [];
  const operand: Operand = { side: side === 'in' ? 'input' : 'output', index: Number(index) };
  const rule = ruleOf(node);
  if (rule === undefined) return 'no rule';
  const labelled = { ...operand, axis: Number(axis), units: Int32Array.from(units) };
  const spread = rule.follow(node, labelled, contextOf(around));
  if (typeof spread === 'string') return spread;
  const { axes, copies, ...rest } = spread;
  const place = (found: Operand & { readonly axis: number }): string =>
    `${found.side === 'input' ? 'in' : 'out'}${found.index}.${found.axis}`;
  const told = new Map<string, string>();
  for (const found of axes) {
    const text = [...found.units].map((unit) => (unit < 0 ? '-' : unit)).join(' ');
    const known = told.get(place(found));
    told.set(place(found), known === undefined ? text : `${known} | ${text}`);
  }
  return {
    axes: Object.fromEntries(told),
    ...rest,
    ...(copies !== undefined && { copies: copies.map(place) }),
  };
}

/**
 * Returns the sizes that a node states after a cut: elements of inputs and values of attributes by name. `kept` lists
 * what stays by axis, such as `in0.2: [0, 2]`.
 */
export function resize(
  spec: NodeSpec,
  kept: Readonly<Record<string, readonly number[]>>,
  around: Surroundings,
): Readonly<Record<string, unknown>> | string | undefined {
  const node = nodeOf(spec, around);
  const context = contextOf(around);
  const key = ({ side, index }: Operand, axis: number): string =>
    `${side === 'input' ? 'in' : 'out'}${index}.${axis}`;
  const resizing: ResizeContext = {
    ...context,
    elements: (index) => around.elements?.[index] ?? around.numbers?.[index],
    kept: (operand, axis) => kept[key(operand, axis)],
    shrinks: (operand, axis) => kept[key(operand, axis)] !== undefined,
    shapeAfter: (operand) =>
      context.shape(operand)?.map((dim, axis) => kept[key(operand, axis)]?.length ?? dim),
  };
  const resized = ruleOf(node)?.resize?.(node, resizing);
  if (resized === undefined || typeof resized === 'string') return resized;
  const stated = [...(resized.attributes ?? [])].map(([name, attribute]) => [
    name,
    'value' in attribute ? attribute.value : undefined,
  ]);
  const inputs = [...(resized.inputs ?? [])].map(([index, dims]) => [`in${index}`, dims]);
  return Object.fromEntries([...inputs, ...stated]);
}
