/** Checks of an artifact against its source: measurements in, plain data out. */
export { type AccuracyOptions, compareAccuracy, type PairedSample } from './accuracy.ts';
export type * from './check-result.ts';
export { CHECK_SCHEMA } from './check-result.ts';
export { checkResultJsonSchema, parseCheckResult } from './check-result-schema.ts';
export { type CheckMeasurements, completeCheck } from './complete-check.ts';
export { evaluateGates, GATES_SCHEMA, type Gates, parseGates } from './gates.ts';
export {
  INTERLEAVED_SESSION_CONFIG,
  LATENCY_DEFAULTS,
  type LatencyOptions,
  type LatencyScenario,
  measureLatency,
  type TimePairs,
  timeSessions,
} from './latency.ts';
export { compareSizes, type WeighedModel } from './sizes.ts';
