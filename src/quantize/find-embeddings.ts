import { intAttribute, intsAttribute, tensorAttribute } from '../ir/attributes.ts';
import { isFloatDataType } from '../ir/data-type.ts';
import { indexUses } from '../ir/index-uses.ts';
import type { Model, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import type { LinearLayer } from '../passes/linear-layer.ts';

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
const POSITION_NAME = /position|rotary|rope|wpe|(^|[^a-z])(cos|sin)([^a-z]|$)/i;

/**
 * Returns the token tables of a model, in node order: constant matrices gathered along axis 0 that
 * are tied to a head or as tall as one, or are named like token tables. Position tables
 * and cosine or sine caches are left out: their rows are few, and an error in them turns every head.
 */
export function findEmbeddings(model: Model, layers: readonly LinearLayer[]): readonly Embedding[] {
  const { producers } = indexUses(model.graph);
  const heads = layers.filter((layer) => layer.role === 'head');
  const found: Embedding[] = [];
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Gather' || intAttribute(node, 'axis', 0) !== 0) continue;
    const source = traceConstant(model, producers, node.inputs[0]!);
    if (source === undefined || source.table.dims.length !== 2) continue;
    if (!isFloatDataType(source.table.dataType)) continue;
    const { name, table, tokenAxis } = source;
    const likeHead = heads.some(
      (head) => head.weight.initializer === name || head.outFeatures === table.dims[tokenAxis],
    );
    if (POSITION_NAME.test(name) || !(likeHead || TOKEN_NAME.test(name))) continue;
    found.push({ ...source, node });
  }
  return found;
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
