/**
 * What compresses a model, step by step: open, calibrate, plan, write. Each loads its code with the first call, so that
 * importing the package costs neither the time nor the memory of what is not used.
 */
export type { ModelOnDisk } from '../artifact/model-on-disk.ts';
export type { CalibrateModelOptions, CalibrationSource } from '../calibrate/calibrate-model.ts';
export type { CalibrationFile } from '../calibrate/calibration-file.ts';
export type { Dataset, DatasetOptions, Sample } from '../calibrate/sample.ts';
export type { PlanCompressionOptions, PlannedModel } from '../quantize/plan-compression.ts';
export type { QuantizationPlan } from '../quantize/quantization-plan.ts';

/** Opens a model with its companions (configs, tokenizer), ready for the verbs. */
export const openModelOnDisk: typeof import('../artifact/model-on-disk.ts').openModelOnDisk =
  async (...args) => (await import('../artifact/model-on-disk.ts')).openModelOnDisk(...args);

/** Opens a calibration set. */
export const openDataset: typeof import('../calibrate/dataset.ts').openDataset = async (...args) =>
  (await import('../calibrate/dataset.ts')).openDataset(...args);

/** Runs the calibration samples and returns statistics and scale table. */
export const calibrateModel: typeof import('../calibrate/calibrate-model.ts').calibrateModel =
  async (...args) => (await import('../calibrate/calibrate-model.ts')).calibrateModel(...args);

/** Returns what a recipe does to each layer, as plain data. */
export const planCompression: typeof import('../quantize/plan-compression.ts').planCompression =
  async (...args) => (await import('../quantize/plan-compression.ts')).planCompression(...args);
