import type { DataType } from '../../ir/data-type.ts';
import type { Dim } from '../../ir/model.ts';
import type { AttentionForm, Rotary } from '../../structure/block.ts';
import type { BodyCount } from '../../structure/count-in-bodies.ts';
import type { ActivationKind } from '../../structure/find-activations.ts';
import type { LinearRole } from '../../structure/linear-layer.ts';

/** What is inside a model, as plain data for people and programs. No weight byte is read for it. */
export interface ModelSummary {
  readonly producer: string | undefined;
  readonly irVersion: number;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly inputs: readonly ValueSummary[];
  readonly outputs: readonly ValueSummary[];
  /** Nodes of the main graph and all bodies. */
  readonly nodeCount: number;
  /** Most frequent first; ties by name. Domain '' is ai.onnx. */
  readonly ops: readonly {
    readonly domain: string;
    readonly opType: string;
    readonly count: number;
  }[];
  /** Weight elements: floats, and integers that stand for floats. Tied tables count once. */
  readonly parameterCount: number;
  /** Bytes of all constants as stored; tied ones once. */
  readonly weightByteLength: number;
  /** Bits of storage per parameter, scales and everything else included. */
  readonly bitsPerWeight: number;
  /** Largest in bytes first. */
  readonly dataTypes: readonly DataTypeSummary[];
  readonly blocks: readonly BlockSummary[];
  readonly norms: readonly {
    readonly kind: string;
    readonly form: string;
    readonly count: number;
  }[];
  readonly activations: readonly {
    readonly kind: string;
    readonly form: string;
    readonly count: number;
  }[];
  /** In the order of first appearance. A weight that layers share counts once, for the role of the first. */
  readonly linears: readonly LinearSummary[];
  /** Linear layers that lie in bodies of If, Loop and Scan; they are among {@link ModelSummary.linears}. */
  readonly bodies: readonly BodyCount[];
  readonly quantizable: QuantizableSummary;
  /** What is quantized already. */
  readonly alreadyQuantized: readonly QuantizedSummary[];
  /** Bytes of float constants that recipe w8a8 leaves as they are, by the operator that reads them, most first, at most 8. */
  readonly notQuantized: readonly { readonly op: string; readonly byteLength: number }[];
  readonly prunable: readonly PrunableGroups[];
  /** Bytes of keys and values per token of context and batch entry; 0 without a cache input. */
  readonly kvCacheByteLengthPerToken: number;
  readonly forecasts: readonly Forecast[];
  /** Places that looked like layers or blocks, with the reason why they are not; none that is quantized already. */
  readonly declined: readonly { readonly node: string; readonly reason: string }[];
}

/** An input or output. */
export interface ValueSummary {
  readonly name: string;
  readonly dataType: DataType | undefined;
  readonly shape: readonly Dim[] | undefined;
}

/** Constants of one element type. */
export interface DataTypeSummary {
  readonly dataType: DataType;
  readonly tensorCount: number;
  readonly parameterCount: number;
  readonly byteLength: number;
}

/** A transformer block. */
export type BlockSummary =
  | {
      readonly kind: 'attention';
      readonly index: number;
      readonly name: string;
      readonly form: AttentionForm;
      readonly heads: number | undefined;
      readonly kvHeads: number | undefined;
      readonly headDim: number | undefined;
      readonly rotary: Rotary | undefined;
      readonly parameterCount: number;
    }
  | {
      readonly kind: 'ffn';
      readonly index: number;
      readonly name: string;
      readonly activation: ActivationKind;
      readonly gated: boolean;
      readonly width: number;
      readonly parameterCount: number;
    };

/** All linear layers of one role. */
export interface LinearSummary {
  readonly role: LinearRole;
  readonly count: number;
  readonly parameterCount: number;
  readonly byteLength: number;
}

/** What recipe w8a8 makes integers of, by its plan without calibration. Shared weights count once. */
export interface QuantizableSummary {
  readonly layerCount: number;
  /** Token tables. */
  readonly tableCount: number;
  readonly parameterCount: number;
  readonly byteLength: number;
  /** Of the bytes of all constants, 0 to 1. */
  readonly weightByteShare: number;
}

/** Products or token tables that are stored as integers, or rounded to them, in one form. */
export interface QuantizedSummary {
  readonly kind: 'product' | 'table';
  /** The operator that reads the integers, or `DequantizeLinear`. */
  readonly form: string;
  readonly count: number;
  readonly byteLength: number;
}

/** Channels of one block that can go together without touching anything outside it. */
export interface PrunableGroups {
  readonly block: string;
  readonly kind: 'kv-group' | 'ffn-channel';
  readonly groupCount: number;
  /** Weights and biases that one group takes with it. */
  readonly parametersPerGroup: number;
}

/** What a recipe would leave, by its plan without calibration. */
export interface Forecast {
  readonly recipe: string;
  readonly weightByteLength: number;
  /** Against the model as it is. */
  readonly ratio: number;
  readonly bitsPerWeight: number;
  /** Weights and a KV cache of {@link Forecast.contextLength} tokens in its declared type, one sequence. */
  readonly memoryByteLength: number;
  readonly contextLength: number;
  /** Why the recipe refuses the model, where it does; sizes are then those of the model. */
  readonly refused?: string;
}
