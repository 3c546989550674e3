import { dataTypeCode } from '../../ir/data-type.ts';
import { addConstant } from '../../ir/rewrite.ts';
import { typeAfter } from '../../quantize/layer-limits.ts';
import { scaleSource } from '../../quantize/weights/quantized-weight.ts';
import type { Embedding } from '../../structure/find-embeddings.ts';
import { makeNode, storeWeight, type WriteContext } from './write-context.ts';

/**
 * Writes a token table as INT8 rows times one scale per row. Rows are gathered as integers: a
 * DequantizeLinear in front of Gather would widen the whole table in every run.
 */
export function writeEmbedding(context: WriteContext, embedding: Embedding): void {
  const { rewrite } = context;
  const { node, name, table, path, tokenAxis } = embedding;
  const float = typeAfter(table.dataType, path);
  const { initializer, quantized } = storeWeight(context, name, table, tokenAxis, 'float32');
  const scales = addConstant(rewrite, {
    name: `${name}_row_scale`,
    dataType: 'float32',
    dims: [quantized.channels, 1],
    source: scaleSource(quantized, 'float32'),
  });
  const ids = node.inputs[1]!;
  const output = node.outputs[0]!;
  const fresh = (suffix: string): string => rewrite.freshName(`${output}_${suffix}`);
  const rows = fresh('integer_rows');
  const widened = fresh('rows');
  const rowScales = fresh('row_scales');
  const exact = float === 'float32' ? output : fresh('float32');
  const turned = tokenAxis === 0 ? initializer : fresh('integer_table');
  const nodes = [
    ...(tokenAxis === 0 ? [] : [makeNode('Transpose', [initializer], turned, { perm: [1n, 0n] })]),
    { ...node, inputs: [turned, ids], outputs: [rows] },
    makeNode('Cast', [rows], widened, { to: BigInt(dataTypeCode('float32')) }),
    makeNode('Gather', [scales, ids], rowScales, { axis: 0n }),
    makeNode('Mul', [widened, rowScales], exact),
  ];
  if (exact !== output) {
    nodes.push(makeNode('Cast', [exact], output, { to: BigInt(dataTypeCode(float)) }));
  }
  rewrite.instead.set(node, nodes);
  rewrite.perhapsUnused.add(name);
  for (const step of path) rewrite.perhapsUnused.add(step.outputs[0]!);
}
