import { UnsupportedError } from '../../errors.ts';
import { DATA_FORMAT, DATA_TYPE } from '../../formats/mnn/enums.ts';
import type { MnnModel } from '../../formats/mnn/write.ts';
import { subgraphs } from '../../ir/attributes.ts';
import { constantsOf } from '../../ir/constants.ts';
import { isFloatDataType } from '../../ir/data-type.ts';
import { nameMaker } from '../../ir/edit.ts';
import { type Graph, type Model, type Node, opsetVersion, type ValueInfo } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { tensorOfElements } from '../../ops/tensor-elements.ts';
import { type GraphView, viewGraph } from '../../passes/graph-view.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import type { Finding } from '../finding.ts';
import { type DraftOp, finishDraft } from './draft.ts';
import { findGroups, type Group } from './groups.ts';
import {
  constantOp,
  emit,
  type FloatStorage,
  type IntegerTable,
  kindOf,
  type Lowering,
  refuseNode,
  shapeOf,
} from './lowering.ts';
import { gelu } from './ops/activations.ts';
import { unary } from './ops/elementwise.ts';
import { findRow } from './ops/index.ts';
import { addLinear, floatWeight, type IntegerWeight } from './ops/linear.ts';
import { addNorm } from './ops/normalization.ts';
import { prepareForMnn } from './prepare.ts';
import { float32Source } from './weight-sources.ts';

/** Integers of the linear layers, by the name of the weight's initializer and the axis of its outputs. */
export type IntegerWeights = (layer: LinearLayer) => IntegerWeight | undefined;

/** How a model becomes a `.mnn` file. */
export interface LowerOptions {
  /** Weights that are float16 in the source may stay so; the runtime computes in float32 either way. */
  readonly floats: FloatStorage;
  /** The weights of layers that are integers; all are floats when absent. */
  readonly integers?: IntegerWeights;
  /** The token tables that are integers, by the value that their Gather makes. */
  readonly tables?: ReadonlyMap<string, IntegerTable>;
}

/** A graph for MNN and what is to be said about it. */
export interface LoweredMnn {
  readonly model: MnnModel;
  readonly findings: readonly Finding[];
}

/**
 * Returns `model` (prepared: no local functions, opset 13 or newer) as an MNN graph. Inputs and outputs keep names
 * and order; float16 ones become float32, int64 and bool ones int32. No weight is read. Throws
 * {@link UnsupportedError} that names the node for everything that MNN has no right form for.
 */
export function lowerToMnn(source: Model, options: LowerOptions): LoweredMnn {
  const model = prepareForMnn(source);
  const { graph } = model;
  const findings: Finding[] = [];
  const drafts: DraftOp[] = [];
  const lowering = beginLowering(model, options, drafts, findings);
  const groups = findGroups(model);
  for (const node of graph.nodes) {
    if (node.opType === 'Constant') continue;
    const group = groups.get(node.outputs[0] ?? '');
    if (group !== undefined) lowerGroup(lowering, group, options);
    else lowerNode(lowering, node);
  }
  const outputs = graph.outputs.map(({ name }) => name);
  for (const name of outputs) settleOutput(lowering, name, drafts);
  return { model: finishDraft(drafts, outputs, describeInterface(graph)), findings };
}

function lowerNode(lowering: Lowering, node: Node): void {
  if (subgraphs(node).length > 0) {
    refuseNode(node, 'control flow', 'Export the model for one branch, or use --target onnx.');
  }
  const row = findRow(node.domain, node.opType);
  if (row === undefined) {
    refuseNode(
      node,
      'no row in the table of lowerings',
      'Use --target onnx, or export without it.',
    );
  }
  row(lowering, node);
}

function lowerGroup(lowering: Lowering, group: Group, options: LowerOptions): void {
  if (group.kind === 'linear') {
    lowerLinear(lowering, group.layer, options);
  } else if (group.kind === 'norm') {
    const { kind, input, output, epsilon = 0, weight, bias } = group.norm;
    const spec = { kind, axes: 1, epsilon, gamma: weight?.tensor, beta: bias?.tensor };
    addNorm(lowering, lowering.read(input), spec, output);
  } else {
    const { input, output } = group.activation;
    const read = lowering.read(input);
    if (group.kind === 'silu') unary(lowering, 'silu', read, output);
    else gelu(lowering, read, group.factor, output);
  }
}

function lowerLinear(
  lowering: Lowering,
  layer: LinearLayer,
  { floats, integers }: LowerOptions,
): void {
  const { node, input, output, weight, bias, inFeatures, outFeatures } = layer;
  const values = integers?.(layer) ?? floatWeight(weight.tensor, weight.outputAxis, floats);
  const tensor = lowering.read(input);
  addLinear(
    lowering,
    { tensor, shape: shapeOf(lowering, node, input) },
    { inFeatures, outFeatures, values, bias: bias && float32Source(bias.tensor) },
    output,
  );
}

function beginLowering(
  model: Model,
  { floats, tables }: LowerOptions,
  drafts: DraftOp[],
  findings: Finding[],
): Lowering {
  const { graph } = model;
  const view = viewGraph(model);
  const constants = constantsByName(graph, view);
  const aliases = new Map<string, string>();
  const made = new Map<string, string>();
  const fresh = nameMaker(graph);
  const add = (op: DraftOp): string => {
    drafts.push(op);
    for (const output of op.outputs) aliases.set(output, output);
    return op.outputs[0] ?? '';
  };
  const read = (value: string): string => {
    const known = aliases.get(value);
    if (known !== undefined) return known;
    const tensor = constants.get(value);
    if (tensor !== undefined) return add(constantOp(tensor, value, floats));
    throw new UnsupportedError(`value ${value}: nothing makes it. The model is damaged.`);
  };
  const literal = (
    dataType: 'int64' | 'float32',
    values: readonly number[],
    dims: readonly number[],
  ): string => {
    const key = `${dataType} ${values.join()} [${dims.join()}]`;
    const known = made.get(key);
    if (known !== undefined) return known;
    const name = fresh('constant');
    const tensor = tensorOfElements(name, dataType, dims, values);
    if (tensor === undefined) throw new RangeError(`no constant of ${key}`);
    made.set(key, add(constantOp(tensor, name, 'float32')));
    return name;
  };
  const symbols = addInputs(graph, add);
  return {
    floats,
    opset: opsetVersion(model) ?? 13,
    facts: (value) => view.facts(value),
    constant: (value) => constants.get(value),
    read,
    alias: (value, tensor) => void aliases.set(value, tensor),
    add,
    fresh,
    ints: (values, dims = [values.length]) => literal('int64', values, dims),
    floatsOf: (values, dims = [values.length]) => literal('float32', values, dims),
    symbols,
    made,
    table: (output) => tables?.get(output),
    report: (finding) => void findings.push(finding),
  };
}

/** Constants, and those behind a conversion between floats, which changes no number on the way up. */
function constantsByName(graph: Graph, view: GraphView): ReadonlyMap<string, Tensor> {
  const constants = new Map(constantsOf(graph));
  for (const { opType, inputs, outputs } of graph.nodes) {
    const tensor = constants.get(inputs[0] ?? '');
    const [output = ''] = outputs;
    const widens = opType === 'Cast' && view.facts(output).dataType === 'float32';
    if (tensor === undefined || !isFloatDataType(tensor.dataType)) continue;
    if (widens || opType === 'Identity') constants.set(output, tensor);
  }
  return constants;
}

/**
 * Returns names, types and dims of inputs and outputs as JSON. The runtime tells neither types nor ranks of outputs, nor
 * the names of axes.
 */
function describeInterface({ inputs, outputs, initializers }: Graph): string {
  const describe = ({ name, type }: ValueInfo) => {
    const tensor = type?.kind === 'tensor' ? type : undefined;
    const dims = (tensor?.shape ?? []).map((dim) => dim ?? '?');
    const kind = kindOf(tensor?.dataType, `value ${name}`);
    return { name, dataType: kind === 'float' ? 'float32' : 'int32', dims };
  };
  const given = inputs.filter(({ name }) => !initializers.has(name));
  return JSON.stringify({ inputs: given.map(describe), outputs: outputs.map(describe) });
}

/** Adds the inputs and returns where the symbols of their axes are found first. */
function addInputs(
  { inputs, initializers }: Graph,
  add: (op: DraftOp) => string,
): Lowering['symbols'] {
  const symbols = new Map<string, { readonly input: string; readonly axis: number }>();
  for (const { name, type } of inputs) {
    if (initializers.has(name)) continue;
    const shape = type?.kind === 'tensor' ? type.shape : undefined;
    if (type?.kind !== 'tensor' || shape === undefined) {
      throw new UnsupportedError(
        `input ${name}: MNN takes tensors of known rank (got ${type?.kind ?? 'no type'}). Export the model with shapes.`,
      );
    }
    const kind = kindOf(type.dataType, `input ${name}`);
    const value = {
      dims: shape.map((dim) => (typeof dim === 'number' ? dim : -1)),
      dtype: kind === 'float' ? DATA_TYPE.float : DATA_TYPE.int32,
      dformat: DATA_FORMAT.NCHW,
    };
    add({ type: 'Input', inputs: [], outputs: [name], main: { kind: 'Input', value } });
    shape.forEach((dim, axis) => {
      if (typeof dim === 'string' && !symbols.has(dim)) symbols.set(dim, { input: name, axis });
    });
  }
  return symbols;
}

/** An output that is an input, a constant or held under another name gets a tensor of its own. */
function settleOutput(lowering: Lowering, name: string, drafts: readonly DraftOp[]): void {
  const held = lowering.read(name);
  const maker = drafts.find(({ outputs }) => outputs.includes(name));
  if (held === name && maker?.type !== 'Input' && maker?.type !== 'Const') return;
  if (held === name) {
    throw new UnsupportedError(
      `output ${name}: it is an ${maker?.type === 'Input' ? 'input' : 'initializer'} of the model. Leave it out of the outputs.`,
    );
  }
  const rank = lowering.facts(name).shape?.length ?? 0;
  emit(lowering, 'Reshape', [held], name, {
    kind: 'Reshape',
    value: { dims: new Array<number>(rank).fill(0) },
  });
}
