import type { Node } from '../ir/model.ts';
import type { ActivationKind } from './find-activations.ts';
import type { Norm } from './find-norms.ts';
import type { LinearLayer } from './linear-layer.ts';

/** What attention and feed-forward blocks have in common: a branch beside a residual stream. */
interface ResidualBranch {
  /** Index of the transformer layer, counted from the first one in the graph. */
  readonly index: number;
  /** Module path that the block's layers share, else `attention.3`, `ffn.3`. */
  readonly name: string;
  /** The residual value that enters and is added again at the end. */
  readonly input: string;
  /** The sum; of a skip norm that does not give out its sum, the normed value. */
  readonly output: string;
  readonly norms: {
    /** Between the residual stream and the branch. */
    readonly before: Norm | undefined;
    /** Inside the branch before the sum ("sandwich"), or after the sum (post-norm). */
    readonly after: Norm | undefined;
  };
  /** The layers of the block, each with its role, in node order. */
  readonly linears: readonly LinearLayer[];
}

/** Where the rotary position embedding is, and how it pairs channels. */
export interface Rotary {
  readonly form: 'operator' | 'decomposed' | 'inside-attention';
  /** `half-split` pairs channel i with i + d/2, `interleaved` pairs 2i with 2i + 1. */
  readonly pairing: 'half-split' | 'interleaved';
}

/** Which ops do the products and the softmax. */
export type AttentionForm = 'decomposed' | 'attention' | 'group-query' | 'multi-head' | 'packed';

/** Self-attention with its projections and residual sum. */
export interface AttentionBlock extends ResidualBranch {
  readonly kind: 'attention';
  readonly form: AttentionForm;
  /** Query heads, KV heads and channels per head, where they can be told. */
  readonly heads: number | undefined;
  readonly kvHeads: number | undefined;
  readonly headDim: number | undefined;
  readonly rotary: Rotary | undefined;
  /** The attention operator, or the Softmax of the decomposed form. */
  readonly core: Node;
}

/** A feed-forward network with its residual sum. */
export interface FfnBlock extends ResidualBranch {
  readonly kind: 'ffn';
  readonly activation: ActivationKind;
  /** True for `down(activation(gate) * up)`. */
  readonly gated: boolean;
  /** Hidden channels: inputs of the down projection. */
  readonly width: number;
  /** Of a packed gate-up projection: which half of its outputs the activation sees. */
  readonly gateHalf: 'first' | 'second' | undefined;
}

/** A recognised transformer block. */
export type Block = AttentionBlock | FfnBlock;
