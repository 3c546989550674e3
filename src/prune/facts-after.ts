import { canonicalDomain } from '../ir/model.ts';
import { findOp } from '../ops/index.ts';
import { type Facts, UNKNOWN } from '../ops/op-spec.ts';
import type { GraphContext } from './graph-context.ts';
import type { KeptAxes } from './kept-axes.ts';

/**
 * Returns a function that tells what shape arithmetic gives after the cut, if no constant in it is changed:
 * `Shape` reads the new sizes, everything else is evaluated again.
 */
export function factsAfter(context: GraphContext, kept: KeptAxes): (value: string) => Facts {
  const { view } = context;
  const known = new Map<string, Facts>();
  const evaluate = (value: string): Facts => {
    const before = view.facts(value);
    const node = view.producer(value);
    // Only what has few known elements is shape arithmetic.
    if (before.elements === undefined || node === undefined) {
      return before.shape === undefined
        ? before
        : { ...before, shape: kept.shape(value, before.shape) };
    }
    const inputs = node.inputs.map((name) => (name === '' ? UNKNOWN : tell(name)));
    const { opset } = context.of(node);
    const outputs = findOp(canonicalDomain(node.domain), node.opType)?.infer(node, inputs, {
      opset,
      inferBody: () => [],
    });
    return outputs?.[node.outputs.indexOf(value)] ?? UNKNOWN;
  };
  const tell = (value: string): Facts => {
    const found = known.get(value) ?? evaluate(value);
    known.set(value, found);
    return found;
  };
  return tell;
}
