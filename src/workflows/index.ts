/**
 * The verbs as a library has them: each loads its workflow with the first call, so that importing the package costs
 * neither the time nor the memory of what is not used.
 */
export type { CalibrateOptions } from './calibrate.ts';
export type { CheckOptions } from './check.ts';
export type { ExportOptions } from './export.ts';
export type { SensitivityOptions } from './inspect-sensitivity.ts';
export type { ProgressEvent, Reporter } from './progress.ts';
export type { QuantizeOptions } from './quantize.ts';
export type { RunOptions } from './run.ts';
export type { ArtifactOptions } from './write-artifact.ts';

/** Makes `calibration.json` of a model and a data set, or of a config. */
export const calibrate: typeof import('./calibrate.ts').calibrate = async (...args) =>
  (await import('./calibrate.ts')).calibrate(...args);

/** Measures an artifact against its source on held-out data. */
export const check: typeof import('./check.ts').check = async (...args) =>
  (await import('./check.ts')).check(...args);

/** Returns what this machine can run, and why not the rest. */
export const diagnose: typeof import('./doctor.ts').diagnose = async (...args) =>
  (await import('./doctor.ts')).diagnose(...args);

/** Writes the artifact of a target, with its check beside it. */
export const exportModel: typeof import('./export.ts').exportModel = async (...args) =>
  (await import('./export.ts')).exportModel(...args);

/** Returns what quantizing each group of layers alone costs. */
export const inspectSensitivity: typeof import('./inspect-sensitivity.ts').inspectSensitivity =
  async (...args) => (await import('./inspect-sensitivity.ts')).inspectSensitivity(...args);

/** Quantizes a model into a folder, or says with `dryRun` what it would do. */
export const quantize: typeof import('./quantize.ts').quantize = async (...args) =>
  (await import('./quantize.ts')).quantize(...args);

/** Runs the stages of a config; those that are up to date are skipped. */
export const runPipeline: typeof import('./run.ts').runPipeline = async (...args) =>
  (await import('./run.ts')).runPipeline(...args);

/** Writes a plan as the artifact of a target, as `exportModel` does, without its check. */
export const writeArtifact: typeof import('./write-artifact.ts').writeArtifact = async (...args) =>
  (await import('./write-artifact.ts')).writeArtifact(...args);
