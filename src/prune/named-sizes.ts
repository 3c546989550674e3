import { canonicalDomain, type Dim, type Node } from '../ir/model.ts';
import { findOp } from '../ops/index.ts';
import { type Facts, UNKNOWN } from '../ops/op-spec.ts';
import type { GraphView } from '../passes/graph-view.ts';

/** Where sizes are read from. */
export interface SizeSource {
  readonly view: GraphView;
  opset(node: Node): number;
  shape(value: string): readonly Dim[] | undefined;
}

/**
 * Returns a function that tells what is known of a value, in which a size that only a run tells has a name of its own:
 * two that have one name are equal in every run.
 */
export function namedSizes({ view, opset, shape }: SizeSource): (value: string) => Facts {
  const ids = new Map<string, number>();
  const idOf = (value: string): number => {
    const id = ids.get(value) ?? ids.size;
    ids.set(value, id);
    return id;
  };
  const tell = memoized((value): Facts => {
    const facts: Facts = {
      ...view.facts(value),
      shape: shape(value)?.map((dim, axis) => dim ?? `open(${idOf(value)}.${axis})`),
    };
    const node = view.producer(value);
    // Only what has few known elements is shape arithmetic.
    if (facts.elements === undefined || node === undefined) return facts;
    const elements = evaluate(node, opset(node), value, tell).elements ?? facts.elements;
    // The minus says that the number may be negative, as no size is.
    return {
      ...facts,
      elements: elements.map((element, index) => element ?? `open(-${idOf(value)}.${index})`),
    };
  });
  return tell;
}

/** Returns what a node gives under a name when its inputs are as `tell` says. */
export function evaluate(
  node: Node,
  opset: number,
  value: string,
  tell: (name: string) => Facts,
): Facts {
  const inputs = node.inputs.map((name) => (name === '' ? UNKNOWN : tell(name)));
  const spec = findOp(canonicalDomain(node.domain), node.opType);
  const outputs = spec?.infer(node, inputs, { opset, inferBody: () => [] });
  return outputs?.[node.outputs.indexOf(value)] ?? UNKNOWN;
}

/** Returns the function with its answers kept. */
export function memoized<Answer>(answer: (value: string) => Answer): (value: string) => Answer {
  const known = new Map<string, Answer>();
  return (value) => {
    const found = known.get(value) ?? answer(value);
    known.set(value, found);
    return found;
  };
}
