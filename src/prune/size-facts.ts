import { canonicalDomain, type Dim, type Node } from '../ir/model.ts';
import type { Facts } from '../ops/op-spec.ts';
import type { GraphContext } from './graph-context.ts';
import type { KeptAxes } from './kept-axes.ts';
import { evaluate, memoized, namedSizes } from './named-sizes.ts';
import { ruleOf } from './rules/index.ts';

/** What is known of sizes before and after a cut; sizes that only a run tells have names, the same on both sides. */
export interface SizeFacts {
  /** Returns what is known of a value as the model stands. */
  before(value: string): Facts;
  /** Returns what shape arithmetic gives after the cut, if no constant in it is changed. */
  after(value: string): Facts;
  /** Says whether a value holds sizes that are others after the cut, or cannot be told to be the same. */
  changes(value: string): boolean;
  /** Says whether a node computes sizes out of sizes that change: what reads them judges what they must be. */
  isArithmetic(node: Node): boolean;
}

/** Returns the sizes of a graph around a cut: `Shape` reads the new ones, everything else is evaluated again. */
export function sizeFacts(context: GraphContext, kept: KeptAxes): SizeFacts {
  const { view, shape } = context;
  const opset = (node: Node): number => context.of(node).opset;
  const before = namedSizes({ view, opset, shape });
  const after = memoized((value): Facts => {
    const facts = before(value);
    const node = view.producer(value);
    if (node === undefined || !mayChange(value)) {
      return { ...facts, shape: facts.shape && kept.shape(value, facts.shape) };
    }
    return evaluate(node, opset(node), value, after);
  });
  /** Sizes come from Shape and Size alone, through whatever is evaluated and does not take them as its own sizes. */
  const mayChange = memoized((value): boolean => {
    const node = view.producer(value);
    if (node === undefined || view.facts(value).elements === undefined) return false;
    if (readsShape(node)) return true;
    const sizes = ruleOf(node)?.sizes ?? [];
    return node.inputs.some(changes) && !sizes.some((index) => changes(node.inputs[index] ?? ''));
  });
  const changes = memoized(
    (value): boolean =>
      mayChange(value) && !isSameElements(before(value).elements, after(value).elements),
  );
  return {
    before,
    after,
    changes,
    isArithmetic: (node) => node.outputs.every((output) => output === '' || mayChange(output)),
  };
}

function readsShape({ domain, opType }: Node): boolean {
  return canonicalDomain(domain) === '' && (opType === 'Shape' || opType === 'Size');
}

/** Says whether elements are known and the same. */
export function isSameElements(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
): boolean {
  return (
    a !== undefined &&
    a.length === b?.length &&
    a.every((element, index) => element !== undefined && element === b[index])
  );
}
