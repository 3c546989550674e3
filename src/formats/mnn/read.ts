import { FormatError } from '../../errors.ts';
import type { TensorSource } from '../../ir/tensor.ts';
import type { ByteSource } from '../bytes.ts';
import { decodeNet, sliceOf } from './decode-net.ts';
import { OP_TYPE } from './enums.ts';
import type { Table } from './schema.ts';
import { type PlacedWeights, placeWeights } from './weight-layout.ts';

/** A `.mnn` file that was read back: its graph, and where the bytes of its weights are. */
export interface MnnFile {
  readonly net: Table<'Net'>;
  readonly ops: readonly Table<'Op'>[];
  readonly tensorNames: readonly string[];
  /** Names of the tensors of Input ops, and of the outputs as the file lists them. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Weights of convolutions, norms and constants, by the position of their op. */
  readonly weights: ReadonlyMap<number, PlacedWeights>;
}

/**
 * Reads the graph at `source`; `beside` is its file of weights, undefined when there is none. Nothing of the weights
 * is read but the headers of quantized ones. Throws {@link FormatError} when anything leads outside, a tensor
 * is read before it is made, an output does not exist, or a weight is not as long as its shape says.
 */
export function readMnn(source: ByteSource, beside: ByteSource | undefined): MnnFile {
  const net = decodeNet(source);
  const where = source.path;
  const { oplists: ops, tensorName: tensorNames, outputName: outputs = [] } = net;
  if (ops === undefined || tensorNames === undefined) {
    throw new FormatError(`${where}: there is no graph in it. Give a .mnn file.`);
  }
  requireOrder(ops, tensorNames, where);
  const names = new Set(tensorNames);
  for (const output of outputs) {
    if (names.has(output)) continue;
    throw new FormatError(
      `${where}: output ${JSON.stringify(output)} is no tensor of the graph. Export it again.`,
    );
  }
  const inputs = ops
    .filter(({ type }) => type === OP_TYPE.Input)
    .map(({ outputIndexes = [] }) => tensorNames[outputIndexes[0] ?? -1] ?? '');
  const slice = (offset: number, byteLength: number, op: string): TensorSource =>
    besideSlice(beside, offset, byteLength, `${where}: op ${op}`);
  return { net, ops, tensorNames, inputs, outputs, weights: placeWeights(ops, slice, where) };
}

/** The runtime runs ops as they are listed. */
function requireOrder(ops: readonly Table<'Op'>[], names: readonly string[], where: string): void {
  const made = new Set<number>();
  for (const { inputIndexes = [], outputIndexes = [], name = '' } of ops) {
    for (const index of [...inputIndexes, ...outputIndexes]) {
      if (index >= 0 && index < names.length) continue;
      throw new FormatError(
        `${where}: op ${name} names a tensor that does not exist (got ${index}, expected less than ${names.length}). Export it again.`,
      );
    }
    const missing = inputIndexes.find((index) => !made.has(index));
    if (missing !== undefined) {
      throw new FormatError(
        `${where}: op ${name} reads ${names[missing]} before it is made. Export it again.`,
      );
    }
    for (const index of outputIndexes) made.add(index);
  }
}

function besideSlice(
  beside: ByteSource | undefined,
  offset: number,
  byteLength: number,
  where: string,
): TensorSource {
  const available = beside?.byteLength ?? 0;
  if (beside !== undefined && offset >= 0 && byteLength >= 0 && offset + byteLength <= available) {
    return sliceOf(beside, offset, byteLength);
  }
  throw new FormatError(
    `${where}: its weight lies outside the .weight file (got bytes ${offset}..${offset + byteLength}, expected up to ${available}). ` +
      'Put the .weight file of this export beside the .mnn.',
  );
}
