import type { Model } from '../ir/model.ts';

/** A place where a pass could have applied but did not, and why. `--explain` prints them. */
export interface Declined {
  readonly pass: string;
  readonly node: string;
  readonly reason: string;
}

/** What a pass may be told while it runs. */
export interface PassContext {
  decline(declined: Declined): void;
}

/**
 * A pure transformation. The same object back means "nothing changed". A pass takes the whole
 * model, not a graph, because operator semantics depend on the opset and functions live beside the graph.
 */
export interface Pass {
  /** The file name without extension. */
  readonly name: string;
  readonly description: string;
  run(model: Model, context: PassContext): Model;
}

/** What passes have made of models. Neither changes, so the same pass gives the same model again. */
const known = new WeakMap<Model, Map<Pass, Model>>();

/**
 * Returns the model after all passes in order; an error names the pass it came from and those before it. Without
 * a context the same model and passes give the same object, so that what is found in it is found once.
 */
export function runPasses(model: Model, passes: readonly Pass[], context?: PassContext): Model {
  let current = model;
  passes.forEach((pass, index) => {
    try {
      current = context === undefined ? runOnce(current, pass) : pass.run(current, context);
    } catch (error) {
      if (error instanceof Error) {
        const before = passes.slice(0, index).map((done) => done.name);
        const after = before.length > 0 ? ` (after ${before.join(', ')})` : '';
        error.message = `pass ${pass.name}${after}: ${error.message}`;
      }
      throw error;
    }
  });
  return current;
}

function runOnce(model: Model, pass: Pass): Model {
  const results = known.get(model) ?? new Map<Pass, Model>();
  known.set(model, results);
  const result = results.get(pass) ?? pass.run(model, { decline: () => {} });
  results.set(pass, result);
  return result;
}
