/** Models as values: a readonly graph with lazy weights, passes over it, and what is recognised in it. */
export {
  canonicalDomain,
  type Dim,
  type Graph,
  type Model,
  type Node,
  opsetVersion,
  type TensorType,
  type ValueInfo,
  type ValueType,
} from '../ir/model.ts';
export {
  type DerivedRows,
  derivedSource,
  elementCount,
  inlineSource,
  inlineTensor,
  readTensorBytes,
  type Tensor,
  type TensorSource,
} from '../ir/tensor.ts';
export { validate } from '../ir/validate.ts';
export { PASSES } from '../passes/index.ts';
export { type Pass, type PassContext, runPasses } from '../passes/pass.ts';
export type { Block } from '../structure/block.ts';
export { findBlocks } from '../structure/find-blocks.ts';
export { findLinears } from '../structure/find-linears.ts';
export type { LinearLayer } from '../structure/linear-layer.ts';
export type { Feeds, TensorValue } from '../values/tensor-value.ts';
