/** The one list of operators. A new family is a file beside this one and a line here. */
import { canonicalDomain } from '../ir/model.ts';
import { ATTENTION } from './attention.ts';
import { CAST } from './cast.ts';
import { CONTROL_FLOW } from './control-flow.ts';
import { CONVOLUTION } from './convolution.ts';
import { ELEMENTWISE } from './elementwise.ts';
import { GENERATE } from './generate.ts';
import { MATMUL } from './matmul.ts';
import { NORMALIZATION } from './normalization.ts';
import type { OpSpec } from './op-spec.ts';
import { QUANTIZATION } from './quantization.ts';
import { REARRANGE } from './rearrange.ts';
import { REDUCE } from './reduce.ts';
import { SHAPE } from './shape.ts';

/** Every operator autoglm knows something about. */
export const OPS: readonly OpSpec[] = [
  ...ATTENTION,
  ...CAST,
  ...CONTROL_FLOW,
  ...CONVOLUTION,
  ...ELEMENTWISE,
  ...GENERATE,
  ...MATMUL,
  ...NORMALIZATION,
  ...QUANTIZATION,
  ...REARRANGE,
  ...REDUCE,
  ...SHAPE,
];

const BY_KEY: ReadonlyMap<string, OpSpec> = new Map(
  OPS.map((spec) => [`${spec.domain}:${spec.opType}`, spec]),
);

/** Returns what is known about an operator; undefined for one autoglm does not know. */
export function findOp(domain: string, opType: string): OpSpec | undefined {
  return BY_KEY.get(`${canonicalDomain(domain)}:${opType}`);
}
