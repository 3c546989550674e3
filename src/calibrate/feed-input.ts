import { UnsupportedError } from '../errors.ts';
import { intAttribute, intsAttribute, tensorAttribute } from '../ir/attributes.ts';
import type { KnownDataType } from '../ir/data-type.ts';
import { indexUses, type Use, type UseIndex } from '../ir/index-uses.ts';
import type { Dim, Graph, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { isNamedEncoderCache, presentOf, roleOf } from '../structure/input-role.ts';

/** An input that a model wants fed. Inputs of a `Session` are of this shape, too. */
export interface FeedInput {
  readonly name: string;
  readonly dataType: KnownDataType;
  readonly dims: readonly Dim[];
  /** The smallest table whose rows it chooses. */
  readonly table?: IndexedTable;
  /** A cache that the graph reads and never appends to: keys or values of an encoder. */
  readonly isEncoderCache?: true;
}

/** A constant that Gather reads row by row. */
export interface IndexedTable {
  readonly name: string;
  readonly rows: number;
}

/** Sizes that a graph may leave open and only its attributes or configuration tell. */
export interface FeedHints {
  /** Heads of an empty KV cache whose declared dims do not say. */
  readonly kvHeads?: number;
  readonly headDim?: number;
}

/**
 * Returns the inputs of a graph that must be fed: those without an initializer of their name. Throws
 * {@link UnsupportedError} naming one that is no tensor of known rank.
 */
export function feedInputs(graph: Graph): readonly FeedInput[] {
  const index = indexUses(graph);
  return graph.inputs
    .filter(({ name }) => !graph.initializers.has(name))
    .map(({ name, type }) => {
      if (type?.kind !== 'tensor' || type.shape === undefined) {
        throw new UnsupportedError(
          `input ${name}: it is no tensor of known rank, so nothing can be made for it. Declare its type and shape.`,
        );
      }
      const table = indexedTable(graph, index, name);
      return {
        name,
        dataType: type.dataType as KnownDataType,
        dims: type.shape,
        ...(table !== undefined && { table }),
        ...(isEncoderCache(index, name) && { isEncoderCache: true }),
      };
    });
}

/** Returns dims for a message, as `[1, ?, batch]`. */
export function describeDims(dims: readonly Dim[]): string {
  return `[${dims.map((dim) => dim ?? '?').join(', ')}]`;
}

/** Nodes behind which the elements of their first input are still the same, in another order or type. */
const REARRANGING: ReadonlySet<string> = new Set([
  'Cast',
  'Expand',
  'Flatten',
  'Identity',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);
/** The same for a cache, of which parts may be taken and which may be scaled. */
const CACHE_LAYOUT: ReadonlySet<string> = new Set([
  ...REARRANGING,
  'Div',
  'Gather',
  'Mul',
  'Slice',
  'Split',
  'Tile',
]);
const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'FusedMatMul', 'Einsum']);

/** Where a value ends up behind nodes of `through`: the reads that are none, and the values on the way. */
function follow(
  { uses }: UseIndex,
  start: string,
  through: ReadonlySet<string>,
): { readonly ends: readonly Use[]; readonly values: ReadonlySet<string> } {
  const values = new Set([start]);
  const ends: Use[] = [];
  for (const name of values) {
    for (const use of uses.get(name) ?? []) {
      if (use.inputIndex !== 0 || !through.has(use.node.opType)) ends.push(use);
      else for (const output of use.node.outputs) values.add(output);
    }
  }
  return { ends, values };
}

/**
 * Says whether a cache is read as it is: by its name, or because the graph multiplies with it without
 * putting anything behind it. Attention operators append to what comes in behind query, key and value.
 */
function isEncoderCache(index: UseIndex, name: string): boolean {
  if (roleOf(name) !== 'cache') return false;
  if (isNamedEncoderCache(name)) return true;
  const { ends, values } = follow(index, name, CACHE_LAYOUT);
  const present = presentOf(name, index.outputs);
  if (present !== undefined && !values.has(present)) return false;
  const reads = ends.filter(({ node }) => node.opType !== 'Shape');
  return reads.length > 0 && reads.every(isReadAsKeys);
}

function isReadAsKeys({ node, inputIndex }: Use): boolean {
  if (PRODUCTS.has(node.opType)) return true;
  return node.opType.endsWith('Attention') && (inputIndex === 1 || inputIndex === 2);
}

function indexedTable(graph: Graph, index: UseIndex, name: string): IndexedTable | undefined {
  const tables = follow(index, name, REARRANGING).ends.flatMap((use) => {
    const table = tableOf(graph, index, use);
    return table === undefined ? [] : [table];
  });
  return tables.sort((a, b) => a.rows - b.rows)[0];
}

/** Which input of EmbedLayerNormalization holds the table for its ids, segments and positions. */
const EMBED_TABLES: ReadonlyMap<number, number> = new Map([
  [0, 2],
  [1, 4],
  [8, 3],
]);

function tableOf(
  graph: Graph,
  index: UseIndex,
  { node, inputIndex }: Use,
): IndexedTable | undefined {
  if (node.opType === 'EmbedLayerNormalization') {
    const at = EMBED_TABLES.get(inputIndex);
    return at === undefined ? undefined : constantTable(graph, index, node.inputs[at] ?? '', 0);
  }
  if (inputIndex !== 1 || !/^Gather(BlockQuantized)?$/.test(node.opType)) return undefined;
  const axis = intAttribute(node, node.opType === 'Gather' ? 'axis' : 'gather_axis', 0);
  return constantTable(graph, index, node.inputs[0] ?? '', axis);
}

/** Follows a table back to its constant. `axis` is the one that is indexed, and turns with a Transpose. */
function constantTable(
  graph: Graph,
  { producers }: UseIndex,
  value: string,
  axis: number,
): IndexedTable | undefined {
  let at: number | undefined = axis;
  for (let name = value; at !== undefined; ) {
    const producer = producers.get(name);
    const tensor = graph.initializers.get(name) ?? constantOf(producer);
    if (tensor !== undefined) {
      const rows = tensor.dims.at(at);
      return rows === undefined ? undefined : { name, rows };
    }
    if (producer?.opType === 'Transpose') at = intsAttribute(producer, 'perm')?.at(at);
    else if (!/^(Identity|Cast|DequantizeLinear)$/.test(producer?.opType ?? '')) return undefined;
    name = producer?.inputs[0] ?? '';
  }
  return undefined;
}

function constantOf(producer: Node | undefined): Tensor | undefined {
  return producer?.opType === 'Constant' ? tensorAttribute(producer, 'value') : undefined;
}
