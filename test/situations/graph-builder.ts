/** Small graphs as exporters write them, with seeded weights. */
import { type AttributeLiteral, attributes } from '../../src/ir/attributes.ts';
import type { Graph, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { type Float, floats } from '../kit/models.ts';

type Literals = Readonly<Record<string, AttributeLiteral>>;

/** How a node differs from one with one output in the default domain. */
export interface NodeOptions {
  readonly literals?: Literals;
  readonly name?: string;
  readonly output?: string;
  readonly outputs?: readonly string[];
  readonly domain?: string;
}

/** Gathers nodes and constants of one graph. */
export interface GraphBuilder {
  readonly nodes: Node[];
  readonly initializers: Tensor[];
  /** Adds a node and returns the name of its first output. */
  op(opType: string, inputs: readonly string[], options?: NodeOptions): string;
  /** Adds a float constant of normal values with this deviation. */
  weight(name: string, dims: readonly number[], deviation?: number): string;
  constant(name: string, dims: readonly number[], values: readonly number[]): string;
  integers(name: string, dims: readonly number[], values: readonly number[]): string;
  /** x W + b with W [inputs, outputs]. */
  linear(x: string, inputs: number, outputs: number, name: string): string;
  /** The same without b. */
  product(x: string, inputs: number, outputs: number, name: string): string;
}

/** Returns a builder whose weights are of type `float`; names of a body begin with its `prefix`. */
export function buildGraph(float: Float = 'float32', prefix = ''): GraphBuilder {
  const random = createRandom(7);
  const nodes: Node[] = [];
  const initializers: Tensor[] = [];
  const add = (tensor: Tensor): string => {
    initializers.push(tensor);
    return tensor.name;
  };
  const builder: GraphBuilder = {
    nodes,
    initializers,
    op(opType, inputs, options = {}) {
      const made = options.outputs ?? [options.output ?? `${prefix}${opType}_${nodes.length}_out`];
      nodes.push({
        name: options.name ?? `${prefix}${opType}_${nodes.length}`,
        opType,
        domain: options.domain ?? '',
        inputs,
        outputs: made,
        attributes: attributes(options.literals ?? {}),
      });
      return made[0]!;
    },
    weight(name, dims, deviation = 1) {
      const count = dims.reduce((product, dim) => product * dim, 1);
      return builder.constant(
        name,
        dims,
        Array.from({ length: count }, () => deviation * random.normal()),
      );
    },
    constant: (name, dims, values) => add(floats(name, dims, values, float)),
    integers: (name, dims, values) =>
      add(inlineTensor(name, 'int64', dims, bytesOf(BigInt64Array.from(values, BigInt)))),
    product: (x, inputs, outputs, name) =>
      builder.op(
        'MatMul',
        [x, builder.weight(`${name}.weight`, [inputs, outputs], inputs ** -0.5)],
        {
          name: `/${name}/MatMul`,
        },
      ),
    linear: (x, inputs, outputs, name) =>
      builder.op('Add', [
        builder.product(x, inputs, outputs, name),
        builder.weight(`${name}.bias`, [outputs], 0.1),
      ]),
  };
  return builder;
}

/** Returns the bytes of a typed array. */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Returns the model of what a builder gathered. */
export function finishModel(
  { nodes, initializers }: GraphBuilder,
  graph: { readonly inputs: readonly ValueInfo[]; readonly outputs: readonly ValueInfo[] },
  versions: {
    readonly opset?: number;
    readonly ir?: number;
    readonly domains?: readonly string[];
  } = {},
): Model {
  const { opset = 17, ir = 8, domains = [] } = versions;
  return {
    irVersion: ir,
    opsetImports: [
      { domain: '', version: opset },
      ...domains.map((domain) => ({ domain, version: 1 })),
    ],
    functions: [],
    storage: { external: false, files: [] },
    graph: finishGraph('main', { nodes, initializers }, graph),
  };
}

/** Returns the same as a body. */
export function finishGraph(
  name: string,
  { nodes, initializers }: Pick<GraphBuilder, 'nodes' | 'initializers'>,
  {
    inputs,
    outputs,
  }: { readonly inputs: readonly ValueInfo[]; readonly outputs: readonly ValueInfo[] },
): Graph {
  return {
    name,
    nodes,
    inputs,
    outputs,
    initializers: new Map(initializers.map((tensor) => [tensor.name, tensor])),
    sparseInitializers: [],
    valueInfo: new Map(),
  };
}
