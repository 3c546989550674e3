import { intAttribute, intsAttribute, subgraphs, tensorAttribute } from '../ir/attributes.ts';
import { type DataType, isFloatDataType } from '../ir/data-type.ts';
import { indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { Model, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import type { LinearLayer } from './linear-layer.ts';

/** A token table read by Gather, row by row. */
export interface Embedding {
  /** Name of the initializer, or of the output of the Constant node that holds the table. */
  readonly name: string;
  readonly node: Node;
  readonly table: Tensor;
  /** Identity, Cast and Transpose nodes between table and Gather. */
  readonly path: readonly Node[];
  /** Axis of the tokens in the table as stored: 1 where a Transpose turns the weight of a tied head. */
  readonly tokenAxis: 0 | 1;
}

const TOKEN_NAME = /embed|wte|token/i;
const OTHER_NAME =
  /position|rotary|rope|wpe|token_?type|segment_?(id|embed)|(^|[^a-z])(cos|sin|scales?)([^a-z]|$)/i;

/** Fewer rows are segments or flags: they save nothing, and an error in one is in every token. */
const MIN_ROWS = 16;
/** Narrower rows cost more in scales and nodes than they save. */
const MIN_WIDTH = 16;

/**
 * Returns the token tables of a model, in node order: constant matrices of some size that Gather reads along
 * axis 0 by ids out of the input, and that are tied to a head or as tall as one, or are named like
 * token tables. Position and segment tables and cosine or sine caches are left out (their rows are few, and an
 * error in them turns every head), and so are the scales of a table that is stored as integers.
 */
export function findEmbeddings(
  model: Model,
  layers: readonly LinearLayer[],
  { producers }: Pick<UseIndex, 'producers'> = indexUses(model.graph),
): readonly Embedding[] {
  const heads = layers.filter((layer) => layer.role === 'head');
  const integerTables = idsOfIntegerTables(model, producers);
  const found: Embedding[] = [];
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Gather' || intAttribute(node, 'axis', 0) !== 0) continue;
    const source = traceConstant(model, producers, node.inputs[0]!);
    if (source === undefined || source.table.dims.length !== 2) continue;
    const { name, table, tokenAxis } = source;
    if (!isFloatDataType(table.dataType)) continue;
    const [rows, width] = [table.dims[tokenAxis]!, table.dims[1 - tokenAxis]!];
    if (rows < MIN_ROWS || width < MIN_WIDTH || OTHER_NAME.test(name)) continue;
    if (integerTables.get(node.inputs[1]!)?.has(rows) === true) continue;
    if (!readsData(model, producers, node.inputs[1]!)) continue;
    const likeHead = heads.some(
      (head) => head.weight.initializer === name || head.outFeatures === rows,
    );
    if (likeHead || TOKEN_NAME.test(name)) found.push({ ...source, node });
  }
  return found;
}

/** Heights of the tables of narrow integers that each value gathers from. */
function idsOfIntegerTables(
  model: Model,
  producers: ReadonlyMap<string, Node>,
): ReadonlyMap<string, ReadonlySet<number>> {
  const heights = new Map<string, Set<number>>();
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Gather') continue;
    const source = traceConstant(model, producers, node.inputs[0]!);
    if (source === undefined || !NARROW.has(source.table.dataType)) continue;
    const ids = node.inputs[1]!;
    const known = heights.get(ids) ?? new Set();
    heights.set(ids, known.add(source.table.dims[source.tokenAxis] ?? 0));
  }
  return heights;
}

const NARROW: ReadonlySet<DataType> = new Set(['int8', 'uint8', 'int4', 'uint4']);

/** What hands on the elements of a value is data; what looks at its shape, counts or compares is not. */
const NO_DATA: ReadonlySet<string> = new Set([
  'Shape',
  'Size',
  'CumSum',
  'NonZero',
  'Range',
  'ConstantOfShape',
  'Equal',
  'Not',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
]);

/** Inputs that count or divide tokens. */
const OTHER_IDS = /position|token_?type|segment/i;

/** Says whether ids come from what the model is given, and are not positions made from shapes and masks. */
function readsData({ graph }: Model, producers: ReadonlyMap<string, Node>, ids: string): boolean {
  const seen = new Set<string>();
  const pending = [ids];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value === '' || seen.has(value) || graph.initializers.has(value)) continue;
    seen.add(value);
    const node = producers.get(value);
    if (node === undefined) {
      if (!OTHER_IDS.test(value)) return true;
    } else if (subgraphs(node).length > 0) return true;
    else if (!NO_DATA.has(node.opType)) pending.push(...node.inputs);
  }
  return false;
}

function traceConstant(
  model: Model,
  producers: ReadonlyMap<string, Node>,
  value: string,
): Omit<Embedding, 'node'> | undefined {
  const path: Node[] = [];
  let tokenAxis: 0 | 1 = 0;
  for (let name = value; ; ) {
    const initializer = model.graph.initializers.get(name);
    if (initializer !== undefined) return { name, table: initializer, path, tokenAxis };
    const producer = producers.get(name);
    if (producer?.opType === 'Constant') {
      const table = tensorAttribute(producer, 'value');
      return table && { name, table, path, tokenAxis };
    }
    if (producer?.opType === 'Transpose' && (intsAttribute(producer, 'perm') ?? [1])[0] === 1) {
      tokenAxis = tokenAxis === 0 ? 1 : 0;
    } else if (producer?.opType !== 'Identity' && producer?.opType !== 'Cast') return undefined;
    path.unshift(producer);
    name = producer.inputs[0]!;
  }
}
