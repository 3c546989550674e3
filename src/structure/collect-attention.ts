import { intAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import { numbersOf } from '../ops/op-spec.ts';
import {
  dataInputs,
  type GraphView,
  isMoving,
  isOp,
  isTransparent,
  searchByLevels,
} from '../passes/graph-view.ts';
import type { AttentionForm, Rotary } from './block.ts';
import { findConstant } from './constant-path.ts';

/** The products and the softmax of one attention, before its projections are looked for. */
export interface AttentionCore {
  readonly form: AttentionForm;
  readonly node: Node;
  /** What enters as query, key and value; all three are equal when packed. */
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly output: string;
  /** Head counts where the operator's attributes name them. */
  readonly heads: number | undefined;
  readonly kvHeads: number | undefined;
  /** Rotary embedding that the operator itself applies. */
  readonly rotary: Rotary | undefined;
}

/** Returns all attention cores in node order. */
export function collectAttention(view: GraphView): readonly AttentionCore[] {
  const cores: AttentionCore[] = [];
  for (const node of view.graph.nodes) {
    const core = operatorCore(node) ?? softmaxCore(view, node);
    if (core !== undefined) cores.push(core);
  }
  return cores;
}

function operatorCore(node: Node): AttentionCore | undefined {
  const form = operatorForm(node);
  if (form === undefined) return undefined;
  const [query = '', key = '', value = ''] = node.inputs;
  const packed = form === 'packed' || key === '';
  const heads = intAttribute(node, form === 'attention' ? 'q_num_heads' : 'num_heads');
  const rotates = intAttribute(node, 'do_rotary', 0) === 1;
  const interleaved = intAttribute(node, 'rotary_interleaved', 0) === 1;
  return {
    form,
    node,
    query,
    key: packed ? query : key,
    // MultiHeadAttention packs key and value together when the value is left out.
    value: packed ? query : value === '' ? key : value,
    output: node.outputs[0] ?? '',
    heads,
    kvHeads: intAttribute(node, 'kv_num_heads') ?? (form === 'attention' ? undefined : heads),
    rotary: rotates
      ? { form: 'inside-attention', pairing: interleaved ? 'interleaved' : 'half-split' }
      : undefined,
  };
}

function operatorForm(node: Node): AttentionForm | undefined {
  if (isOp(node, 'GroupQueryAttention')) return 'group-query';
  if (isOp(node, 'MultiHeadAttention')) return 'multi-head';
  if (!isOp(node, 'Attention')) return undefined;
  return node.domain === 'com.microsoft' ? 'packed' : 'attention';
}

/** `MatMul(Softmax(... MatMul(q, k) ...), v)`, with scale, mask, cap and Casts anywhere between. */
function softmaxCore(view: GraphView, softmax: Node): AttentionCore | undefined {
  if (!isOp(softmax, 'Softmax')) return undefined;
  const scores = productBefore(view, softmax.inputs[0] ?? '');
  const mixing = productAfter(view, softmax.outputs[0] ?? '');
  if (scores === undefined || mixing === undefined) return undefined;
  return {
    form: 'decomposed',
    node: softmax,
    query: scores.inputs[0] ?? '',
    key: scores.inputs[1] ?? '',
    value: mixing.inputs[1] ?? '',
    output: mixing.outputs[0] ?? '',
    heads: undefined,
    kvHeads: undefined,
    rotary: undefined,
  };
}

/** Breadth first, because the scores are nearer to the softmax than anything the mask is made of. */
function productBefore(view: GraphView, value: string): Node | undefined {
  return searchByLevels<Node>(value, 12, (at) => {
    const node = view.producer(at);
    if (node === undefined || isOp(node, 'Softmax')) return [];
    if (!isOp(node, 'MatMul', 'FusedMatMul')) return dataInputs(node);
    return isVariableProduct(view, node) ? node : [];
  });
}

function productAfter(view: GraphView, value: string): Node | undefined {
  return searchByLevels<Node>(value, 8, (at) => {
    const next: string[] = [];
    for (const { node, inputIndex } of view.uses(at)) {
      if (isOp(node, 'MatMul', 'FusedMatMul')) {
        if (inputIndex === 0 && isVariableProduct(view, node)) return node;
      } else if (isTransparent(node) || isMoving(node) || isOp(node, 'Where', 'Mul', 'Add')) {
        next.push(...node.outputs.slice(0, 1));
      }
    }
    return next;
  });
}

function isVariableProduct(view: GraphView, node: Node): boolean {
  return findConstant(view, node.inputs[1] ?? '') === undefined;
}

/** Returns how the nodes between a projection and the scores rotate, if they do. */
export function findRotary(view: GraphView, nodes: readonly Node[]): Rotary | undefined {
  const operator = nodes.find((node) => isOp(node, 'RotaryEmbedding'));
  if (operator !== undefined) {
    const interleaved = intAttribute(operator, 'interleaved', 0) === 1;
    return { form: 'operator', pairing: interleaved ? 'interleaved' : 'half-split' };
  }
  // Every spelling negates one of the two members of each pair before it concatenates them again.
  const negated = nodes.find((node) => isOp(node, 'Neg') && movesElements(view, node));
  if (negated === undefined) return undefined;
  const picked = pickingNode(view, negated.inputs[0] ?? '');
  const step = numbersOf(view.facts(picked?.inputs[4] ?? ''))?.[0];
  const byIndex = isOp(picked, 'Gather') || (isOp(picked, 'Split') && splitsPairs(view, picked));
  return { form: 'decomposed', pairing: step === 2 || byIndex ? 'interleaved' : 'half-split' };
}

function movesElements(view: GraphView, node: Node): boolean {
  return pickingNode(view, node.inputs[0] ?? '') !== undefined;
}

/** The Slice, Split or Gather behind a value, looking through reshapes. */
function pickingNode(view: GraphView, value: string): Node | undefined {
  let node = view.source(value);
  for (let depth = 0; depth < 4 && isOp(node, 'Squeeze', 'Unsqueeze', 'Reshape'); depth++) {
    node = view.source(node.inputs[0] ?? '');
  }
  return isOp(node, 'Slice', 'Split', 'Gather') ? node : undefined;
}

/** A Split into parts of one channel separates the members of a pair `[..., d/2, 2]`. */
function splitsPairs(view: GraphView, split: Node): boolean {
  return view.facts(split.outputs[0] ?? '').shape?.at(-1) === 1;
}
