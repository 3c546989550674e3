/** The one list of rules. Rules for another operator are a file beside this one and a line here. */
import { canonicalDomain, type Node } from '../../ir/model.ts';
import type { AxisRule } from '../axis-rule.ts';
import { ATTENTION } from './attention.ts';
import { CONTRIB_ATTENTION } from './attention-contrib.ts';
import { castLike, contribActivations, dropout, pointwise } from './elementwise.ts';
import { NORMALIZATION } from './normalization.ts';
import { PARTS } from './parts.ts';
import { isProduct, PRODUCTS } from './products.ts';
import { isPackedProduct, QUANTIZATION } from './quantization.ts';
import { REARRANGE } from './rearrange.ts';
import { RESHAPE } from './reshape.ts';
import { SIZES } from './sizes.ts';

export { isPackedProduct, isProduct };

/** Every kind of operator through which channels and heads are followed. */
export const AXIS_RULES: readonly AxisRule[] = [
  ...ATTENTION,
  ...CONTRIB_ATTENTION,
  castLike,
  contribActivations,
  dropout,
  ...NORMALIZATION,
  pointwise,
  ...PARTS,
  ...PRODUCTS,
  ...QUANTIZATION,
  ...REARRANGE,
  ...RESHAPE,
  ...SIZES,
];

const BY_KEY: ReadonlyMap<string, AxisRule> = new Map(
  AXIS_RULES.flatMap((rule) =>
    (rule.domains ?? ['']).flatMap((domain) =>
      rule.opTypes.map((opType) => [`${domain}:${opType}`, rule] as const),
    ),
  ),
);

/** Returns the rule of a node's operator; undefined where autoglm cannot say what it does to an axis. */
export function ruleOf(node: Node): AxisRule | undefined {
  return BY_KEY.get(`${canonicalDomain(node.domain)}:${node.opType}`);
}
