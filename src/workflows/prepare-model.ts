import { AutoglmError, UnsupportedError } from '../errors.ts';
import { type Model, opsetVersion } from '../ir/model.ts';
import { inlineFunctions } from '../passes/inline-functions.ts';
import { runPasses } from '../passes/pass.ts';
import { raiseOpset } from '../passes/raise-opset.ts';

/** The oldest opset in which everything that is written has a form: scales per channel. */
const LEAST_OPSET = 13;

/**
 * Returns the model as every verb that looks into it works on it: without local functions, and raised to
 * opset 13 where it is older and can be. The same object back when nothing is to be done. Throws what
 * inlining throws, naming the file at `path`.
 */
export function prepareModel(model: Model, path: string): Model {
  const inlined = naming(path, () => runPasses(model, [inlineFunctions]));
  try {
    return isOld(inlined) ? raiseOpset(inlined, LEAST_OPSET) : inlined;
  } catch (error) {
    // Older models can still be inspected; requireRaised says why they are refused.
    if (error instanceof UnsupportedError) return inlined;
    throw error;
  }
}

/** Throws {@link UnsupportedError} saying why a prepared model could not be raised to opset 13. */
export function requireRaised(model: Model, path: string): void {
  if (isOld(model)) naming(path, () => raiseOpset(model, LEAST_OPSET));
}

function isOld(model: Model): boolean {
  return (opsetVersion(model) ?? 0) < LEAST_OPSET;
}

function naming<Result>(path: string, make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (error instanceof AutoglmError) {
      error.message = `${path}: ${error.message.replace(/^(pass [\w-]+: |model: )+/, '')}`;
    }
    throw error;
  }
}
