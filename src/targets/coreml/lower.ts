import { AutoglmError, UnsupportedError } from '../../errors.ts';
import type { MilFeature, MilModel, MilOperation } from '../../formats/coreml/mil.ts';
import { type PackageFile, packageFiles } from '../../formats/coreml/package.ts';
import { validateMil } from '../../formats/coreml/validate.ts';
import { type Model, type Node, opsetVersion } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { numbersOf } from '../../ops/op-spec.ts';
import { type GraphView, isOp, viewGraph } from '../../passes/graph-view.ts';
import { recognize } from '../../structure/recognize.ts';
import { createBuilder, identifier, type Ref } from './builder.ts';
import { fixShapes } from './fix-shapes.ts';
import {
  type CoremlFinding,
  castTo,
  type Lowering,
  type LowerNode,
  MIL_KINDS,
  read,
  shapeOf,
} from './lowering.ts';
import { ATTENTION } from './ops/attention.ts';
import { ELEMENTWISE } from './ops/elementwise.ts';
import { lowerNorm, NORMALIZE } from './ops/normalize.ts';
import { type Int8Weights, isPlainLinear, lowerLinear, PRODUCT } from './ops/product.ts';
import { REARRANGE } from './ops/rearrange.ts';

const ROWS: Readonly<Record<string, LowerNode>> = {
  ...ELEMENTWISE,
  ...REARRANGE,
  ...NORMALIZE,
  ...PRODUCT,
  ...ATTENTION,
};

/** Specification version by the oldest iOS that must load the package. */
const SPECIFICATION = { 16: 7, 17: 8, 18: 9 } as const;

/** How a model becomes a package. */
export interface CoremlOptions {
  /** A size for every symbol of the inputs. */
  readonly sizes: Readonly<Record<string, number>>;
  /** The oldest iOS that loads it: 16 by default. */
  readonly minIos?: keyof typeof SPECIFICATION | undefined;
  readonly int8?: Int8Weights | undefined;
}

/** A package that can be written, and what is worth knowing about it. */
export interface LoweredCoreml {
  readonly program: MilModel;
  /** The files of the `.mlpackage`; bytes of weights are made as they are written. */
  readonly files: readonly PackageFile[];
  readonly findings: readonly CoremlFinding[];
  /** Names that apps use, by the names of the ONNX model's inputs and outputs. */
  readonly names: ReadonlyMap<string, string>;
}

/** What is lowered as one: the node at its end, the values it reads, and how. */
interface Group {
  readonly end: Node;
  readonly inputs: readonly string[];
  readonly lower: (lowering: Lowering) => void;
}

/**
 * Returns a float model as an ML Program in FP16, weights still lazy. Norms, activations and linear layers are
 * taken as they are recognised. Throws UnsupportedError that names every node which has no form, with the reason.
 */
export function lowerToCoreml(source: Model, options: CoremlOptions): LoweredCoreml {
  const model = fixShapes(source, options.sizes);
  const specification = SPECIFICATION[options.minIos ?? 16];
  const view = viewGraph(model);
  const names = featureNames(model);
  const lowering: Lowering = {
    view,
    opset: opsetVersion(model) ?? 1,
    builder: createBuilder(specification, names.values()),
    values: new Map(),
    constants: new Map(),
    findings: [],
    exact: angleNodes(view),
  };
  const inputs = model.graph.inputs
    .filter(({ name }) => !model.graph.initializers.has(name))
    .map(({ name }): MilFeature => {
      const dataType = featureType(view.facts(name).dataType, name);
      const shape = shapeOf(lowering, name);
      lowering.values.set(name, { name: names.get(name)!, type: { dataType, dims: shape } });
      return { name: names.get(name)!, dataType, shape: requireFeature(shape, name) };
    });
  lowerNodes(lowering, groupsOf(model, options.int8));
  const outputs = model.graph.outputs.map(({ name }) => giveOut(lowering, name, names.get(name)!));
  const program: MilModel = {
    specificationVersion: specification,
    inputs,
    outputs: outputs.map(
      (ref): MilFeature => ({
        name: ref.name,
        dataType: ref.type.dataType as MilFeature['dataType'],
        shape: ref.type.dims.map(Number),
      }),
    ),
    functions: [
      {
        name: 'main',
        inputs: inputs.map(({ name, dataType, shape }) => ({
          name,
          type: { dataType, dims: shape ?? [] },
        })),
        operations: lowering.builder.operations,
        outputs: outputs.map(({ name }) => name),
      },
    ],
    metadata: { userDefined: new Map() },
  };
  refuseBroken(program);
  return { program, files: packageFiles(program), findings: lowering.findings, names };
}

function requireFeature(shape: readonly number[], name: string): readonly number[] {
  if (shape.length > 0 && shape.every((dim) => dim > 0) && shape.length <= 5) return shape;
  throw new UnsupportedError(
    `target coreml: input ${name} has no size that apps can pass (got [${shape}], expected 1 to 5 axes of at least 1). Give other sizes.`,
  );
}

function featureType(dataType: string | undefined, name: string): MilFeature['dataType'] {
  const kind = MIL_KINDS.get(dataType ?? '');
  if (kind === undefined) {
    throw new UnsupportedError(
      `target coreml: ${name} has elements that Core ML does not pass (got ${dataType ?? 'an unknown type'}, expected ${[...MIL_KINDS.keys()].join(', ')}). Export the model with another type, or with target onnx.`,
    );
  }
  if (kind !== 'float') return 'int32';
  return dataType === 'float32' ? 'fp32' : 'fp16';
}

function featureNames({ graph }: Model): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { name } of [...graph.inputs, ...graph.outputs]) {
    const clean = identifier(name);
    let free = clean;
    for (let suffix = 1; taken.has(free); suffix++) free = `${clean}_${suffix}`;
    taken.add(free);
    names.set(name, free);
  }
  return names;
}

/** Every output is made by an operation of its own, under the name that apps use. */
function giveOut(lowering: Lowering, value: string, name: string): Ref {
  const wanted = featureType(lowering.view.facts(value).dataType, value);
  const ref = read(lowering, value, wanted === 'fp32' ? 'fp32' : 'fp16');
  const typed = castTo(lowering, ref, wanted);
  const operations = lowering.builder.operations as MilOperation[];
  const { type } = typed;
  operations.push({
    type: 'identity',
    inputs: new Map([['x', [typed.name]]]),
    outputs: [{ name, type }],
    attributes: new Map([
      [
        'name',
        { type: { dataType: 'string', dims: [] }, data: { kind: 'strings', strings: [name] } },
      ],
    ]),
  });
  return { name, type };
}

function groupsOf(model: Model, int8: Int8Weights | undefined): ReadonlyMap<Node, Group> {
  const { linears, norms, activations } = recognize(model);
  const view = viewGraph(model);
  const groups = new Map<Node, Group>();
  const add = (
    value: string,
    inputs: readonly string[],
    lower: (lowering: Lowering, end: Node) => void,
  ): void => {
    const end = view.producer(value);
    if (end !== undefined)
      groups.set(end, { end, inputs, lower: (lowering) => lower(lowering, end) });
  };
  for (const layer of linears) {
    if (isPlainLinear(layer))
      add(layer.output, [layer.input], (lowering) => lowerLinear(lowering, layer, int8));
  }
  for (const norm of norms) {
    const skip = norm.skip === undefined ? [] : [norm.skip.value];
    add(norm.output, [norm.input, ...skip], (lowering, end) => lowerNorm(lowering, norm, end));
  }
  for (const { form, kind, input, output } of activations) {
    if (form !== 'decomposed') continue;
    add(output, [input], ({ builder, values, ...rest }) => {
      const x = read({ builder, values, ...rest }, input);
      values.set(
        output,
        kind === 'silu'
          ? builder.emit('silu', output, { x })
          : builder.emit('gelu', output, { x, mode: GELU_MODES[kind] ?? 'EXACT' }),
      );
    });
  }
  return groups;
}

const GELU_MODES: Readonly<Record<string, string>> = {
  gelu: 'EXACT',
  'gelu-tanh': 'TANH_APPROXIMATION',
  'quick-gelu': 'SIGMOID_APPROXIMATION',
};

/** Lowers what the outputs need, in the order of the graph, and names everything that cannot be. */
function lowerNodes(lowering: Lowering, groups: ReadonlyMap<Node, Group>): void {
  const refused: string[] = [];
  for (const node of neededNodes(lowering, groups)) {
    try {
      const group = groups.get(node);
      const row = ROWS[node.opType];
      if (group !== undefined) group.lower(lowering);
      else if (row === undefined || !isOp(node, node.opType))
        throw new UnsupportedError('has no form in Core ML that is known here');
      else row(lowering, node);
    } catch (error) {
      if (!(error instanceof AutoglmError)) throw error;
      refused.push(`${nodeLabel(node)} ${error.message}`);
      // What reads it is looked at all the same.
      for (const [index, name] of node.outputs.entries()) standIn(lowering, name, index);
    }
  }
  if (refused.length === 0) return;
  const all = refused.join('; ');
  throw new UnsupportedError(
    `target coreml: ${refused.length} nodes cannot be written (got ${all}; expected operators of the table). Export the model with other operators, or with target onnx.`,
  );
}

function standIn(lowering: Lowering, name: string, index: number): void {
  const { dataType, shape } = lowering.view.facts(name);
  if (name === '' || lowering.values.has(name)) return;
  lowering.values.set(name, {
    name: `refused_${index}`,
    type: {
      dataType: MIL_KINDS.get(dataType ?? '') === 'int32' ? 'int32' : 'fp16',
      dims: (shape ?? []).map((dim) => (typeof dim === 'number' ? dim : undefined)),
    },
  });
}

function neededNodes({ view }: Lowering, groups: ReadonlyMap<Node, Group>): readonly Node[] {
  const needed = new Set(view.graph.outputs.map(({ name }) => name));
  const found: Node[] = [];
  for (const node of view.graph.nodes.toReversed()) {
    if (node.opType === 'Constant' || !node.outputs.some((name) => needed.has(name))) continue;
    if (
      node.outputs.every(
        (name) => name === '' || !needed.has(name) || numbersOf(view.facts(name)) !== undefined,
      )
    )
      continue;
    found.push(node);
    for (const name of groups.get(node)?.inputs ?? nodeInputs(view, node)) needed.add(name);
  }
  return found.reverse();
}

/** Of a guard against NaN, only what it guards is needed. */
function nodeInputs(view: GraphView, node: Node): readonly string[] {
  const guard = view.producer(node.inputs[0] ?? '');
  return isOp(node, 'Where') &&
    isOp(guard, 'IsNaN') &&
    isOp(view.source(node.inputs[2] ?? ''), 'Softmax')
    ? node.inputs.slice(2)
    : node.inputs;
}

/** Nodes between positions and the cosine or sine of an angle, which need more digits than fp16 has. */
function angleNodes(view: GraphView): ReadonlySet<Node> {
  const found = new Set<Node>();
  const pending = view.graph.nodes.filter((node) => isOp(node, 'Cos', 'Sin'));
  while (pending.length > 0) {
    const node = pending.pop();
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    for (const name of node.inputs) {
      const before = view.producer(name);
      if (before !== undefined) pending.push(before);
    }
  }
  return found;
}

function refuseBroken(program: MilModel): void {
  const [first, ...rest] = validateMil(program);
  if (first === undefined) return;
  const more = rest.length === 0 ? '' : ` and ${rest.length} more`;
  throw new UnsupportedError(
    `target coreml: the program breaks rule ${first.rule} (got: ${first.where} ${first.message}${more}). This is a defect of the lowering for this model; export it with target onnx.`,
  );
}
