import type { Node } from '../ir/model.ts';
import { type GraphView, isMoving, isOp, otherOperand } from '../passes/graph-view.ts';
import { findConstant } from './constant-path.ts';
import type { Norm } from './find-norms.ts';

/** Look-ups of norms by what enters and what leaves them. */
export interface NormIndex {
  readonly byInput: ReadonlyMap<string, readonly Norm[]>;
  readonly byOutput: ReadonlyMap<string, Norm>;
}

/** Returns the look-ups; both values that a skip norm adds count as inputs. */
export function indexNorms(view: GraphView, norms: readonly Norm[]): NormIndex {
  const byInput = new Map<string, Norm[]>();
  const byOutput = new Map<string, Norm>();
  const add = (value: string, norm: Norm): void => {
    const origin = view.origin(value);
    byInput.set(origin, [...(byInput.get(origin) ?? []), norm]);
  };
  for (const norm of norms) {
    add(norm.input, norm);
    if (norm.skip !== undefined) add(norm.skip.value, norm);
    byOutput.set(norm.output, norm);
  }
  return { byInput, byOutput };
}

/** Where a branch joins the residual stream again. */
export interface Residual {
  /** The other summand: what the branch started from. */
  readonly input: string;
  readonly output: string;
  /** A norm inside the branch before the sum. */
  readonly normInside: Norm | undefined;
  /** The skip norm that does the sum itself. */
  readonly skipNorm: Norm | undefined;
  readonly node: Node;
}

/** Returns the sum that a branch output flows into, through norms, scales and reshapes. */
export function findResidual(
  view: GraphView,
  norms: NormIndex,
  branch: string,
  depth = 6,
  normInside?: Norm,
): Residual | undefined {
  const from = view.origin(branch);
  for (const { node } of view.readers(branch)) {
    if (isOp(node, 'Add')) {
      const input = otherOperand(view, node, from);
      if (input === undefined || findConstant(view, input) !== undefined) continue;
      return { input, output: node.outputs[0] ?? '', normInside, skipNorm: undefined, node };
    }
    const skip = skipNormAt(view, norms, from, node);
    if (skip !== undefined) return { ...skip, normInside, node };
  }
  if (depth === 0) return undefined;
  for (const norm of norms.byInput.get(from) ?? []) {
    if (norm.skip !== undefined) continue;
    const found = findResidual(view, norms, norm.output, depth - 1, norm);
    if (found !== undefined) return found;
  }
  for (const { node } of view.readers(branch)) {
    const scaled = isOp(node, 'Mul') && node.inputs.some((name) => findConstant(view, name));
    if (!scaled && !isMoving(node)) continue;
    const found = findResidual(view, norms, node.outputs[0] ?? '', depth - 1, normInside);
    if (found !== undefined) return found;
  }
  return undefined;
}

function skipNormAt(
  view: GraphView,
  norms: NormIndex,
  from: string,
  node: Node,
): Pick<Residual, 'input' | 'output' | 'skipNorm'> | undefined {
  const norm = norms.byOutput.get(node.outputs[0] ?? '');
  if (norm?.skip === undefined) return undefined;
  const entersAsInput = view.origin(norm.input) === from;
  const input = entersAsInput ? norm.skip.value : norm.input;
  return { input, output: norm.skip.sum ?? norm.output, skipNorm: norm };
}

/** The norms around a branch that reads `entry` and joins the stream at `residual`. */
export function normsAround(
  view: GraphView,
  norms: NormIndex,
  entry: string,
  residual: Residual,
): { readonly before: Norm | undefined; readonly after: Norm | undefined } {
  const candidate = normBehind(view, norms, entry);
  const start = view.origin(residual.input);
  const normed =
    candidate !== undefined &&
    (candidate.skip === undefined
      ? view.origin(candidate.input) === start
      : candidate.skip.sum !== undefined && view.origin(candidate.skip.sum) === start);
  const before = normed ? candidate : undefined;
  if (residual.normInside !== undefined || before !== undefined) {
    return { before, after: residual.normInside };
  }
  const [after] = norms.byInput.get(residual.output) ?? [];
  return { before: undefined, after: residual.skipNorm ?? after };
}

/** The norm whose output a value is, looking through reshapes that flatten batch and sequence. */
function normBehind(view: GraphView, norms: NormIndex, value: string): Norm | undefined {
  let at = view.origin(value);
  for (let depth = 0; depth < 4; depth++) {
    const norm = norms.byOutput.get(at);
    if (norm !== undefined) return norm;
    const node = view.producer(at);
    if (node === undefined || !isMoving(node)) return undefined;
    at = view.origin(node.inputs[0] ?? '');
  }
  return undefined;
}
