import type { Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';

/** What linear layers do in a transformer block: the words of plans, recipes and files. */
export const LINEAR_ROLES = [
  'q',
  'k',
  'v',
  'qkv',
  'kv',
  'attention-output',
  'gate',
  'up',
  'gate-up',
  'down',
  'ffn-in',
  'embedding-projection',
  'head',
  'other',
] as const;

/** What a linear layer does in a transformer block. */
export type LinearRole = (typeof LINEAR_ROLES)[number];

/** A constant-weight matrix product found in the main graph, whatever op spells it. */
export interface LinearLayer {
  /**
   * Stable name for people and recipes: the module path where the exporter left one
   * (`model.layers.0.self_attn.q_proj`), else the node or weight name.
   */
  readonly name: string;
  /** The MatMul, Gemm or 1x1 Conv. */
  readonly node: Node;
  readonly role: LinearRole;
  /** Index of the transformer block, where one was recognised. */
  readonly block: number | undefined;
  /** The activation that is multiplied. */
  readonly input: string;
  /** The value after the bias, or after the product when there is no bias. */
  readonly output: string;
  /** The constant weight: its tensor and the name under which the product reads it. */
  readonly weight: {
    readonly tensor: Tensor;
    /** Initializer name, or the output of the Constant node that holds the weight. */
    readonly initializer: string;
    /** The input of `node`; differs from `initializer` when Identity, Cast or Transpose lie between. */
    readonly value: string;
    /** The nodes between initializer and product, initializer first. */
    readonly path: readonly Node[];
    /** Axis of the output channels in `tensor.dims` as stored ([in,out] gives 1, [out,in] gives 0). */
    readonly outputAxis: number;
    /** How many nodes read the initializer, this layer included. More than 1: tied or shared. */
    readonly useCount: number;
  };
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias?: {
    readonly tensor: Tensor;
    readonly initializer: string;
    /** The Add after a MatMul; absent when the bias is an input of Gemm or Conv. */
    readonly add?: Node;
  };
}
