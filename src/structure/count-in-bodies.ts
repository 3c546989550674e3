import { bodyOf, type OpenedModel } from '../passes/open-bodies.ts';
import type { LinearLayer } from './linear-layer.ts';

/** How many linear layers lie in one body. */
export interface BodyCount {
  /** `then_branch of If "/model/If"` */
  readonly body: string;
  readonly layerCount: number;
}

/** Returns how many of the layers of an opened model lie in which body, in the order of the layers. */
export function countInBodies(
  opened: OpenedModel,
  layers: readonly LinearLayer[],
): readonly BodyCount[] {
  const counts = new Map<string, number>();
  for (const { node } of layers) {
    const label = bodyOf(opened, node)?.label;
    if (label !== undefined) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].map(([body, layerCount]) => ({ body, layerCount }));
}

/** Returns counts as words: `4 in then_branch of If "/model/If", 4 in else_branch of If "/model/If"`. */
export function describeBodyCounts(counts: readonly BodyCount[]): string {
  return counts.map(({ body, layerCount }) => `${layerCount} in ${body}`).join(', ');
}
