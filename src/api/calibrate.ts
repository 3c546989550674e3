/** Calibration: data sets, statistics that merge in any order, ranges made of them. */
export {
  type CalibrateModelOptions,
  type CalibrationSource,
  calibrateModel,
} from '../calibrate/calibrate-model.ts';
export {
  type CalibrationFile,
  mergeCalibrations,
  parseCalibration,
  serialiseCalibration,
} from '../calibrate/calibration-file.ts';
export {
  type Dataset,
  type DatasetOptions,
  openDataset,
  type Sample,
} from '../calibrate/dataset.ts';
export { RANGE_METHODS } from '../calibrate/ranges/index.ts';
export type { RangeMethod } from '../calibrate/ranges/range-method.ts';
export {
  emptyStatistics,
  mergeStatistics,
  observe,
  type TensorStatistics,
} from '../calibrate/statistics.ts';
