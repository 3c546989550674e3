/** What options and config keys may say, each list once. Light: help must not load the workflows. */

import { RUNNERS } from '../runners/index.ts';

export { GROUP_KINDS } from '../prune/group.ts';
export {
  IMPORTANCE_NAMES,
  type ImportanceName,
  RECOVERIES,
  VERIFICATIONS,
} from '../prune/prune-settings.ts';
export { CALIBRATORS, type CalibratorName } from '../recipe/recipe.ts';

/** Where a model can run, in any runtime; `auto` is the best that works. */
export const DEVICES: readonly string[] = [
  'auto',
  ...new Set(RUNNERS.flatMap(({ devices }) => [...devices].reverse())),
];

/** Element types of what is not quantized. */
export const ACTIVATION_TYPES = ['float32', 'float16'] as const;

/** Tables that can lie beside calibration.json: TensorRT's cache, those of onnxruntime. */
export const TABLE_FORMATS = ['trt', 'ort'] as const;

/** Name of a table format. */
export type TableFormat = (typeof TABLE_FORMATS)[number];

/** Forms of a report that are files. */
export const REPORT_FORMATS = ['html', 'json', 'junit', 'markdown'] as const;

/** Name of a form. */
export type ReportFormat = (typeof REPORT_FORMATS)[number];
