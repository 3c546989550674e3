import type { DataType } from '../../ir/data-type.ts';
import type { Node } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';

/**
 * What takes the division: the affine part of a norm; the output channels of an FFN's up projection
 * (or of the layer before a ReLU); the output channels of a value projection.
 */
export type SiteKind = 'norm' | 'up' | 'value';

/** Some elements of a constant vector, the weight or bias of a norm or the bias of a layer. */
export interface VectorFold {
  readonly kind: 'vector';
  /** The node that reads the vector, and at which input. */
  readonly reader: Node;
  readonly inputIndex: number;
  readonly tensor: Tensor;
  /** Initializer name, or the output of the Constant node that holds the vector. */
  readonly initializer: string;
  /** The nodes between constant and reader: Identity and Cast alone. */
  readonly path: readonly Node[];
  /** Element type as the reader sees it. */
  readonly dataType: DataType;
  /** Index of the first element that is divided. */
  readonly first: number;
}

/** Some output channels of a layer's weight. */
export interface MatrixFold {
  readonly kind: 'matrix';
  readonly layer: LinearLayer;
  readonly first: number;
}

/** A constant that is divided by the scales of a site. */
export type Fold = VectorFold | MatrixFold;

/**
 * An activation whose channels can be divided by any positive numbers with no node added: the layers
 * that read it multiply their weights, the constants that make it are divided, and all else is
 * as before.
 */
export interface SmoothingSite {
  /** Name of the first layer that reads the activation; no layer reads two. */
  readonly name: string;
  readonly kind: SiteKind;
  /** Name of the norm or layer that takes the division. */
  readonly into: string;
  /** All layers that read the activation, in node order. */
  readonly layers: readonly LinearLayer[];
  /** Number of scales. */
  readonly channels: number;
  /**
   * Index of the scale of each input channel of the layers, where it is not the channel itself: query
   * heads share the scales of their KV head.
   */
  readonly scaleOf?: Int32Array;
  readonly folds: readonly Fold[];
}

/** Returns the scale of every input channel of a site's layers, from the scales of the site. */
export function inputScales(site: SmoothingSite, scales: Float32Array): Float32Array {
  const { scaleOf } = site;
  return scaleOf === undefined ? scales : Float32Array.from(scaleOf, (index) => scales[index]!);
}
