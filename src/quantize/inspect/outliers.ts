import { attributes } from '../../ir/attributes.ts';
import { editGraph, nameMaker, withGraph } from '../../ir/edit.ts';
import type { Model, Node } from '../../ir/model.ts';
import { median } from '../../numerics/quantile.ts';

/** Where the largest values of an activation sit, before anything is folded into the model. */
export interface Outliers {
  /** Largest magnitude. */
  readonly largest: number;
  /** Position of its row in the sample, from 0: for text the token. */
  readonly token: number;
  /** Its index on the last axis. */
  readonly channel: number;
  /** Largest magnitude at any other position, 0 where samples are one row. */
  readonly otherTokens: number;
  /** Median over rows of the largest magnitude of each. */
  readonly typical: number;
}

/** A model that gives the peak of each row of some activations. */
export interface PeakModel {
  readonly model: Model;
  /** By activation, the names of two values [.., rows, 1]: the largest magnitude, and its channel (int64). */
  readonly peaks: ReadonlyMap<string, { readonly magnitude: string; readonly channel: string }>;
}

/** The peaks of one sample, row by row. */
export interface RowPeaks {
  readonly magnitudes: Float32Array;
  readonly channels: ArrayLike<number | bigint>;
}

/**
 * Returns `model` with the largest magnitude along the last axis of each of `values` (float32, of the main graph), and
 * where it sits: two numbers a row come back of a run in place of the row.
 */
export function makePeakModel(model: Model, values: readonly string[]): PeakModel {
  const { graph } = model;
  const freshName = nameMaker(graph);
  const peaks = new Map<string, { magnitude: string; channel: string }>();
  const nodes: Node[] = [];
  for (const value of new Set(values)) {
    const absolute = freshName(`${value}_absolute`);
    const channel = freshName(`${value}_peak_channel`);
    const magnitude = freshName(`${value}_peak`);
    const last = { axis: -1n };
    nodes.push(
      makeNode('Abs', [value], absolute),
      makeNode('ArgMax', [absolute], channel, { ...last, keepdims: 1n }),
      makeNode('GatherElements', [absolute, channel], magnitude, last),
    );
    peaks.set(value, { magnitude, channel });
  }
  const end = graph.nodes.at(-1);
  if (end === undefined) return { model, peaks };
  const replace = new Map([[end, [end, ...nodes]]]);
  return { model: withGraph(model, editGraph(graph, { replace })), peaks };
}

/**
 * Returns where the peaks of all samples sit; of equal ones the first. Rows that are not finite are left out, as
 * calibration does. Undefined where no row is left.
 */
export function findOutliers(samples: readonly RowPeaks[]): Outliers | undefined {
  const rows = samples.flatMap(({ magnitudes, channels }) =>
    Array.from(magnitudes, (magnitude, token) => ({
      magnitude,
      token,
      channel: Number(channels[token]),
    })).filter(({ magnitude }) => Number.isFinite(magnitude)),
  );
  const [first, ...others] = rows;
  if (first === undefined) return undefined;
  const peak = others.reduce((most, row) => (row.magnitude > most.magnitude ? row : most), first);
  const elsewhere = rows.filter(({ token }) => token !== peak.token);
  return {
    largest: peak.magnitude,
    token: peak.token,
    channel: peak.channel,
    otherTokens: elsewhere.reduce((most, { magnitude }) => Math.max(most, magnitude), 0),
    typical: median(rows.map(({ magnitude }) => magnitude)),
  };
}

function makeNode(
  opType: string,
  inputs: readonly string[],
  output: string,
  literals: Parameters<typeof attributes>[0] = {},
): Node {
  const name = `${output}_node`;
  return { name, opType, domain: '', inputs, outputs: [output], attributes: attributes(literals) };
}
