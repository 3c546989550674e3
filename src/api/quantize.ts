/** Quantization: a recipe and ranges make a plan, which is plain data; what a model holds, and what a recipe would save. */
export { inspectModel } from '../quantize/inspect/inspect-model.ts';
export type { ModelSummary } from '../quantize/inspect/model-summary.ts';
export { planQuantization } from '../quantize/plan.ts';
export {
  type PlanCompressionOptions,
  type PlannedModel,
  planCompression,
} from '../quantize/plan-compression.ts';
export {
  parseQuantizationFile,
  type QuantizationFile,
  quantizationFile,
  serializeQuantizationFile,
} from '../quantize/quantization-file.ts';
export type {
  ActivationRange,
  ActivationRanges,
  QuantizationPlan,
} from '../quantize/quantization-plan.ts';
export type { SearchFile } from '../quantize/search/search-file.ts';
export { BUILT_IN_RECIPES, builtInRecipe, parseRecipe } from '../recipe/load.ts';
export type { Recipe } from '../recipe/recipe.ts';
