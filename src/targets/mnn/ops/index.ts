/** The table of lowerings: one row for each operator that MNN has a form for. */
import { canonicalDomain } from '../../../ir/model.ts';
import type { LowerNode } from '../lowering.ts';
import { ACTIVATIONS } from './activations.ts';
import { ATTENTION } from './attention.ts';
import { ELEMENTWISE } from './elementwise.ts';
import { GATHER } from './gather.ts';
import { GENERATE } from './generate.ts';
import { NORMALIZATION } from './normalization.ts';
import { PRODUCTS } from './products.ts';
import { REARRANGE } from './rearrange.ts';

const ROWS: Readonly<Record<string, LowerNode>> = {
  ...ACTIVATIONS,
  ...ATTENTION,
  ...ELEMENTWISE,
  ...GATHER,
  ...GENERATE,
  ...NORMALIZATION,
  ...PRODUCTS,
  ...REARRANGE,
};

/** Returns how nodes of an operator are lowered, undefined for one without a row. */
export function findRow(domain: string, opType: string): LowerNode | undefined {
  const canonical = canonicalDomain(domain);
  const key = canonical === '' ? opType : `${canonical}.${opType}`;
  return Object.hasOwn(ROWS, key) ? ROWS[key] : undefined;
}
