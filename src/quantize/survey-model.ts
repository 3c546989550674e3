import { indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { Model } from '../ir/model.ts';
import type { Facts } from '../ops/op-spec.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import { inferShapes } from '../passes/infer-shapes.ts';
import { type OpenedModel, openBodies } from '../passes/open-bodies.ts';
import { type Declined, runPasses } from '../passes/pass.ts';
import { type Embedding, findEmbeddings } from '../structure/find-embeddings.ts';
import { floatLayers } from '../structure/find-linears.ts';
import type { LinearLayer } from '../structure/linear-layer.ts';
import { type Recognition, recognize } from '../structure/recognize.ts';

/** What planning looks at, whatever the recipe. */
export interface ModelSurvey {
  readonly opened: OpenedModel;
  /** The opened model with the shapes that are known without running it. */
  readonly typed: Model;
  /** Uses of all values of `typed`. */
  readonly index: UseIndex;
  /** What is known of the values of `typed`. */
  readonly facts: ReadonlyMap<string, Facts>;
  readonly recognition: Recognition;
  /** Linear layers with float weights. */
  readonly layers: readonly LinearLayer[];
  readonly tables: readonly Embedding[];
  /** What looked like a layer or block and is none that can be quantized, and why. */
  readonly declined: readonly Declined[];
}

/** Models do not change, so what was found in one holds as long as somebody has it. */
const known = new WeakMap<Model, ModelSurvey>();

/** Returns what a model holds, found once for each model. Reads no weight. */
export function surveyModel(model: Model): ModelSurvey {
  const found = known.get(model) ?? makeSurvey(model);
  known.set(model, found);
  return found;
}

function makeSurvey(model: Model): ModelSurvey {
  const declined: Declined[] = [];
  const context = { decline: (entry: Declined) => declined.push(entry) };
  const opened = openBodies(model);
  const typed = runPasses(opened.model, [inferShapes]);
  const index = indexUses(typed.graph);
  const facts = inferFacts(typed).of(typed.graph);
  const recognition = recognize(typed, context, opened);
  const layers = floatLayers(recognition.linears, context);
  const tables = findEmbeddings(typed, layers, index);
  return { opened, typed, index, facts, recognition, layers, tables, declined };
}
