import type { DataType } from '../ir/data-type.ts';
import type { CalibratorName, Recipe, Scheme } from '../recipe/recipe.ts';
import type { LinearRole } from '../structure/linear-layer.ts';
import type { PlannedSmoothing } from './smooth/planned-smoothing.ts';

/** The range of an activation as calibration found it, and how. */
export interface ActivationRange {
  readonly min: number;
  readonly max: number;
  /** The method that chose the range; with `auto` the one that won for this tensor. */
  readonly calibrator: Exclude<CalibratorName, 'auto'>;
  /** Why integers of this range cannot stand for the activation; its layers then keep it float. */
  readonly unfit?: string | undefined;
  /** The same of two planes of integers. */
  readonly unfitInPlanes?: string | undefined;
  /** The same of integers whose range is found in every run. */
  readonly unfitInRun?: string | undefined;
}

/** Calibrated ranges by value name of the source graph. */
export type ActivationRanges = ReadonlyMap<string, ActivationRange>;

/** The quantized input of a W8A8 layer, with the parameters of the onnxruntime form. */
export interface PlannedActivation extends ActivationRange {
  /** Value name in the source graph. */
  readonly tensor: string;
  readonly dataType: 'uint8';
  readonly scale: number;
  readonly zeroPoint: number;
}

/** A constant before and after. `bytesAfter` counts integers and scales. */
export interface PlannedWeight {
  readonly initializer: string;
  readonly dims: readonly number[];
  readonly dataType: DataType;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Input features that share a scale, where not all of an output channel do. */
  readonly blockSize?: number | undefined;
}

/**
 * How a layer is written for onnxruntime, named by the kernel that must come of it:
 * a MatMul with quantized input (`MatMulIntegerToFloat`), a bias-free Gemm for inputs of rank 2
 * (`QGemm`), a product of integers scaled in each run (`DynamicQuantizeMatMul`), a MatMul with a quantized weight alone (`MatMulNBits`), or nothing new.
 */
export type LinearForm =
  | 'MatMulIntegerToFloat'
  | 'DynamicQuantizeMatMul'
  | 'QGemm'
  | 'MatMulNBits'
  | 'float';

/** What happens to one linear layer. */
export interface PlannedLayer {
  readonly name: string;
  /** Name of the node in the source graph, or a free one for a node that has none. */
  readonly node: string;
  readonly op: string;
  readonly role: LinearRole;
  readonly scheme: Scheme;
  /** Why the scheme is not the recipe's default: `head`, `rule 3`, `K < 16` ... */
  readonly reason?: string | undefined;
  /** The body that the layer lies in, as `then_branch of If "/model/If"`; absent in the main graph. */
  readonly body?: string | undefined;
  readonly form: LinearForm;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly weight: PlannedWeight;
  /** Present for `w8a8` and `w8a8x2` alone; of the latter the coarse plane, which says all of the residual one. */
  readonly activation?: PlannedActivation | undefined;
}

/** What happens to one token table. */
export interface PlannedEmbedding {
  /** Name of the table's initializer. */
  readonly name: string;
  readonly node: string;
  readonly scheme: 'int8' | 'float';
  readonly reason?: string | undefined;
  readonly table: PlannedWeight;
}

/** Sizes in bytes. Tied tensors count once. */
export interface PlannedTotals {
  /** All constants of the source. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Weights of linear layers alone. */
  readonly linearBytesBefore: number;
  readonly linearBytesAfter: number;
  /** Share of all constant bytes that is quantized, 0..1. */
  readonly quantizedShare: number;
  /** Constants that stay float, by the operator that computes with them; most first, at most 8. */
  readonly floatBytes?: Readonly<Record<string, number>> | undefined;
  readonly layers: Readonly<Record<Scheme, number>>;
}

/**
 * Everything that quantization will do, as data that prints and survives JSON. It names layers of
 * the float source and is the same for every target: writers lower it by their own table.
 */
export interface QuantizationPlan {
  readonly recipe: Recipe;
  readonly layers: readonly PlannedLayer[];
  readonly embeddings: readonly PlannedEmbedding[];
  /** Scales folded into the float model before anything is quantized; ranges are those after it. */
  readonly smoothing?: PlannedSmoothing | undefined;
  /** Rules that matched no layer, as `rule 2 (match "foo")`. */
  readonly unmatchedRules: readonly string[];
  readonly totals: PlannedTotals;
}
