/** One thing that a static look at a model found, for a person or a gate. */
export interface Finding {
  /** Stable name of the rule, such as `scale-subnormal`. */
  readonly rule: string;
  /** `error`: TensorRT refuses it or computes something else; `warning`: slower or less exact. */
  readonly severity: 'error' | 'warning' | 'info';
  /** Name of the node it is about. */
  readonly node: string;
  readonly message: string;
}
