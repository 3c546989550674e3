/** An MNN graph while it is being made: ops by tensor names, weights without places. */

import { DATA_FORMAT, NET_SOURCE, OP_TYPE, type OpTypeName } from '../../formats/mnn/enums.ts';
import type { Main, Table } from '../../formats/mnn/schema.ts';
import type { MnnModel } from '../../formats/mnn/write.ts';
import type { TensorSource } from '../../ir/tensor.ts';

/** Weights of an op that lie in the file beside the graph. */
export interface OutsideWeights {
  /** They follow each other in the file, in this order. */
  readonly parts: readonly TensorSource[];
  /** Returns the parameters of the op with `external`: the offset of the first part, then the lengths. */
  place(external: readonly number[]): Main;
}

/** The version of the schema, which the runtime's own tools print. */
const MNN_VERSION = '3.6.1';

/** An op that names its tensors. */
export interface DraftOp {
  readonly type: OpTypeName;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly main?: Main;
  readonly outside?: OutsideWeights;
}

/**
 * Returns the ops as a graph, without those whose outputs nobody reads: tensors get their numbers, weights their
 * places. Equal weights (by the keys of their sources) are stored once. `outputs` are names of tensors, `description` is free text
 * that the runtime hands to who asks.
 */
export function finishDraft(
  drafts: readonly DraftOp[],
  outputs: readonly string[],
  description: string,
): MnnModel {
  const live = liveOps(drafts, outputs);
  const ids = new Map<string, number>();
  const idOf = (name: string): number => {
    const known = ids.get(name) ?? ids.size;
    ids.set(name, known);
    return known;
  };
  const storage = beginStorage();
  const ops = live.map((draft): Table<'Op'> => {
    const main = draft.outside === undefined ? draft.main : storage.place(draft.outside);
    return {
      inputIndexes: draft.inputs.map(idOf),
      ...(main !== undefined && { main }),
      name: draft.outputs[0] ?? '',
      outputIndexes: draft.outputs.map(idOf),
      type: OP_TYPE[draft.type],
      // Without it Shape would give the dims of tensors of convolutions in another order.
      defaultDimentionFormat: DATA_FORMAT.NCHW,
    };
  });
  const net: Table<'Net'> = {
    bizCode: description,
    extraInfo: { version: MNN_VERSION },
    oplists: ops,
    outputName: [...outputs],
    sourceType: NET_SOURCE.onnx,
    tensorName: [...ids.keys()],
    tensorNumber: ids.size,
  };
  return { net, weights: storage.sources };
}

/** Inputs of the model stay, whether read or not: who runs it gives all of them. */
function liveOps(drafts: readonly DraftOp[], outputs: readonly string[]): readonly DraftOp[] {
  const wanted = new Set(outputs);
  const kept: DraftOp[] = [];
  for (const draft of drafts.toReversed()) {
    if (draft.type !== 'Input' && !draft.outputs.some((name) => wanted.has(name))) continue;
    for (const name of draft.inputs) wanted.add(name);
    kept.push(draft);
  }
  return kept.reverse();
}

interface Storage {
  readonly sources: TensorSource[];
  place(weights: OutsideWeights): Main;
}

function beginStorage(): Storage {
  const sources: TensorSource[] = [];
  const offsets = new Map<string, number>();
  let end = 0;
  return {
    sources,
    place({ parts, place }) {
      const keys = parts.map(({ key, byteLength }) => (byteLength === 0 ? '' : key));
      const key = keys.includes(undefined) ? undefined : keys.join('\n');
      const lengths = parts.map(({ byteLength }) => byteLength);
      const known = key === undefined ? undefined : offsets.get(key);
      const offset = known ?? end;
      if (known === undefined) {
        sources.push(...parts);
        end += lengths.reduce((sum, length) => sum + length, 0);
        if (key !== undefined) offsets.set(key, offset);
      }
      return place([offset, ...lengths]);
    },
  };
}
