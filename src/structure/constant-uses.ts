import { subgraphs, tensorAttribute } from '../ir/attributes.ts';
import type { Graph, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { isOp } from '../passes/graph-view.ts';

/** One place where a node computes with a constant, in the main graph or a body. */
export interface ConstantUse {
  readonly tensor: Tensor;
  /** Name of the initializer, or of the output of the Constant node that holds the tensor. */
  readonly initializer: string;
  readonly node: Node;
  /** Position among the inputs of the node. */
  readonly inputIndex: number;
  /** Op types of the nodes between constant and reader, which hand on its elements, constant first. */
  readonly through: readonly string[];
}

/** Ops that hand on the elements of their first input, rounded, moved or in another type. */
const CARRIERS = [
  'Identity',
  'Cast',
  'Transpose',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Slice',
  'QuantizeLinear',
  'DequantizeLinear',
];

interface Scope {
  readonly carried: Map<string, Pick<ConstantUse, 'tensor' | 'initializer' | 'through'>>;
  readonly outer: Scope | undefined;
}

/** Returns who computes with which constant, in node order, bodies of If, Loop and Scan included. */
export function constantUses(graph: Graph): readonly ConstantUse[] {
  const uses: ConstantUse[] = [];
  visitGraph(graph, undefined, uses);
  return uses;
}

function visitGraph(graph: Graph, outer: Scope | undefined, uses: ConstantUse[]): void {
  const scope: Scope = { carried: new Map(), outer };
  const hold = (initializer: string, tensor: Tensor): void => {
    scope.carried.set(initializer, { tensor, initializer, through: [] });
  };
  for (const [name, tensor] of graph.initializers) hold(name, tensor);
  for (const node of graph.nodes) {
    const [output = ''] = node.outputs;
    const constant = isOp(node, 'Constant') ? tensorAttribute(node, 'value') : undefined;
    if (constant !== undefined) hold(output, constant);
    node.inputs.forEach((name, inputIndex) => {
      const found = lookUp(scope, name);
      if (found === undefined) return;
      if (inputIndex === 0 && isOp(node, ...CARRIERS)) {
        scope.carried.set(output, { ...found, through: [...found.through, node.opType] });
      } else uses.push({ ...found, node, inputIndex });
    });
    for (const body of subgraphs(node)) visitGraph(body, scope, uses);
  }
}

function lookUp(scope: Scope | undefined, name: string): ReturnType<Scope['carried']['get']> {
  for (let at = scope; at !== undefined; at = at.outer) {
    const found = at.carried.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}
