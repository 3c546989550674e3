import { UnsupportedError } from '../errors.ts';
import { attributes, intsAttribute, stringAttribute } from '../ir/attributes.ts';
import { editGraph, nameMaker } from '../ir/edit.ts';
import { canonicalDomain, type Graph, type Model, type Node, opsetVersion } from '../ir/model.ts';
import { inlineTensor, type Tensor } from '../ir/tensor.ts';
import { mapSubgraphs } from '../passes/map-subgraphs.ts';

const OLDEST = 13;
const NEWEST = 21;
/** The IR versions that came with opset 19 (ONNX 1.14) and opset 21 (ONNX 1.16). */
const IR_VERSIONS = [
  { opset: 21, irVersion: 10 },
  { opset: 19, irVersion: 9 },
] as const;

/** Reductions whose axes became an input with opset 18 (ReduceSum had it before). */
const REDUCTIONS: ReadonlySet<string> = new Set([
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSumSquare',
]);

/** Operators that opsets 20 and 21 gave other inputs. */
const REFUSED = [
  { opType: 'DFT', opset: 20 },
  { opType: 'GroupNormalization', opset: 21 },
] as const;

const GRID_MODES: ReadonlyMap<string, string> = new Map([
  ['bilinear', 'linear'],
  ['bicubic', 'cubic'],
]);

/** A node in the newer opset, with the constants it reads. */
interface Adapted {
  readonly node: Node;
  readonly constants: readonly Tensor[];
}

/**
 * Returns the model in the newer opset `to` (at most 21) with the same meaning. Between 13 and 21
 * the operators that changed incompatibly are the reductions (axes as input, 18), Split without
 * sizes (18), RoiAlign (new default, 16), GridSample (new names of modes, 20), and these, which are
 * refused: BatchNormalization in training (14), DFT (axis as input, 20) and GroupNormalization (scale
 * per channel, 21). Models older than opset 13 are refused, too. Sources: Changelog.md of ONNX 1.16.
 */
export function raiseOpset(model: Model, to: number): Model {
  const from = opsetVersion(model);
  if (from === undefined || from < OLDEST || to > NEWEST) {
    throw new UnsupportedError(
      `model: cannot be raised to opset ${to} (got opset ${from ?? 'none'}, expected ${OLDEST} or ` +
        'newer). Export it again with opset 18.',
    );
  }
  if (from >= to) return model;
  const freshName = nameMaker(model.graph);
  return {
    ...model,
    irVersion: Math.max(model.irVersion, irVersionOf(to)),
    opsetImports: model.opsetImports.map((entry) =>
      canonicalDomain(entry.domain) === '' ? { ...entry, version: to } : entry,
    ),
    graph: adaptGraph(model.graph, from, to, freshName),
  };
}

function irVersionOf(opset: number): number {
  return IR_VERSIONS.find((entry) => opset >= entry.opset)?.irVersion ?? 0;
}

function adaptGraph(
  graph: Graph,
  from: number,
  to: number,
  freshName: (wanted: string) => string,
): Graph {
  const replace = new Map<Node, readonly Node[]>();
  const constants: Tensor[] = [];
  for (const original of graph.nodes) {
    const node = mapSubgraphs(original, (inner) => adaptGraph(inner, from, to, freshName));
    const adapted =
      canonicalDomain(node.domain) === ''
        ? adaptNode(node, from, to, freshName)
        : { node, constants: [] };
    constants.push(...adapted.constants);
    if (adapted.node !== original) replace.set(original, [adapted.node]);
  }
  return editGraph(graph, { replace, addInitializers: constants });
}

function adaptNode(
  node: Node,
  from: number,
  to: number,
  freshName: (wanted: string) => string,
): Adapted {
  const crosses = (version: number): boolean => from < version && version <= to;
  if (node.opType === 'BatchNormalization' && crosses(14) && node.outputs.length > 1) {
    throw new UnsupportedError(
      `${node.name}: BatchNormalization in training form has no equal in opset ${to}. ` +
        'Export the model for inference.',
    );
  }
  const refused = REFUSED.find(({ opType, opset }) => node.opType === opType && crosses(opset));
  if (refused !== undefined) {
    throw new UnsupportedError(
      `${node.name}: ${node.opType} means something else from opset ${refused.opset} on, so the model ` +
        `cannot be raised to opset ${to}. Export it again with that opset.`,
    );
  }
  if (node.opType === 'GridSample' && crosses(20)) {
    return { node: withRenamedMode(node), constants: [] };
  }
  if (node.opType === 'RoiAlign' && crosses(16)) {
    const old = { coordinate_transformation_mode: 'output_half_pixel' };
    return { node: withDefaults(node, attributes(old)), constants: [] };
  }
  if (!crosses(18)) return { node, constants: [] };
  if (node.opType === 'Split' && (node.inputs[1] ?? '') === '') {
    const count = attributes({ num_outputs: BigInt(node.outputs.length) });
    return { node: withDefaults(node, count), constants: [] };
  }
  const axes = REDUCTIONS.has(node.opType) ? intsAttribute(node, 'axes') : undefined;
  return axes === undefined ? { node, constants: [] } : withAxesInput(node, axes, freshName);
}

function withRenamedMode(node: Node): Node {
  const mode = stringAttribute(node, 'mode');
  const renamed = mode === undefined ? undefined : GRID_MODES.get(mode);
  if (renamed === undefined) return node;
  return { ...node, attributes: new Map([...node.attributes, ...attributes({ mode: renamed })]) };
}

function withDefaults(node: Node, defaults: Node['attributes']): Node {
  return { ...node, attributes: new Map([...defaults, ...node.attributes]) };
}

function withAxesInput(
  node: Node,
  axes: readonly number[],
  freshName: (wanted: string) => string,
): Adapted {
  const name = freshName(`${node.outputs[0]}_axes`);
  const bytes = new Uint8Array(BigInt64Array.from(axes, BigInt).buffer);
  const remaining = new Map(node.attributes);
  remaining.delete('axes');
  return {
    node: { ...node, inputs: [node.inputs[0]!, name], attributes: remaining },
    constants: [inlineTensor(name, 'int64', [axes.length], bytes)],
  };
}
