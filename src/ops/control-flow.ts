/** Ops with bodies. */
import type { Graph, Node } from '../ir/model.ts';
import { type Facts, type OpSpec, UNKNOWN } from './op-spec.ts';

function body(node: Node, name: string): Graph | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'graph' ? attribute.value : undefined;
}

/** Keeps what two branches agree on. */
function common(a: Facts, b: Facts): Facts {
  const dataType = a.dataType === b.dataType ? a.dataType : undefined;
  if (a.shape === undefined || a.shape.length !== b.shape?.length) return { dataType };
  return {
    dataType,
    shape: a.shape.map((dim, axis) => (dim === b.shape?.[axis] ? dim : undefined)),
  };
}

const branch: OpSpec['infer'] = (node, _inputs, context) => {
  const [first, second] = ['then_branch', 'else_branch'].map((name) => {
    const graph = body(node, name);
    return graph === undefined ? [] : context.inferBody(graph, []);
  });
  return node.outputs.map((_, at) => common(first?.[at] ?? UNKNOWN, second?.[at] ?? UNKNOWN));
};

/** Loop-carried values may change shape from turn to turn, so only their types are passed on. */
const loop: OpSpec['infer'] = (node, inputs, context) => {
  const graph = body(node, 'body');
  if (graph === undefined) return [];
  const carried = inputs.slice(2).map(({ dataType }): Facts => ({ dataType }));
  const outputs = context.inferBody(graph, [
    { dataType: 'int64', shape: [] },
    { dataType: 'bool', shape: [] },
    ...carried,
  ]);
  return node.outputs.map((_, at) => {
    const { dataType, shape } = outputs[at + 1] ?? UNKNOWN;
    if (at < carried.length) return { dataType };
    return { dataType, shape: shape === undefined ? undefined : [undefined, ...shape] };
  });
};

const scan: OpSpec['infer'] = (node, _inputs, context) => {
  const graph = body(node, 'body');
  if (graph !== undefined) context.inferBody(graph, []);
  return [];
};

/** Control flow operators. */
export const CONTROL_FLOW: readonly OpSpec[] = [
  { opType: 'If', domain: '', infer: branch },
  { opType: 'Loop', domain: '', infer: loop },
  { opType: 'Scan', domain: '', infer: scan },
];
