import { AutoglmError, UnsupportedError } from '../errors.ts';
import { type Model, opsetVersion } from '../ir/model.ts';
import { computesInBfloat16 } from './computes-in-bfloat16.ts';
import { convertToFloat32 } from './convert-to-float32.ts';
import { inlineFunctions } from './inline-functions.ts';
import { runPasses } from './pass.ts';
import { plainProducts } from './plain-products.ts';
import { raiseOpset } from './raise-opset.ts';

/** The oldest opset in which everything that is written has a form: scales per channel. */
const LEAST_OPSET = 13;

/** A model as every verb that looks into it works on it. */
export interface PreparedModel {
  readonly model: Model;
  /** True when the file computes in bfloat16, so that onnxruntime cannot run it on a CPU. */
  readonly isWidened: boolean;
  /** What was done that an artifact shows, for people. */
  readonly notes: readonly string[];
}

/**
 * Returns a model without local functions, raised to opset 13 where it is older and can be, and computing in
 * float32 where it computes in bfloat16: exactly the same numbers, weights still of 16 bits. The same object
 * back when nothing is to be done. Throws what inlining throws, naming the file at `path`.
 */
export function prepareModel(written: Model, path: string): PreparedModel {
  const inlined = naming(path, () => runPasses(written, [inlineFunctions]));
  const raised = raisedIfPossible(inlined);
  const plain = runPasses(raised, [plainProducts]);
  const isWidened = computesInBfloat16(plain);
  const model = isWidened ? runPasses(plain, [convertToFloat32]) : plain;
  const count = written.functions.length - inlined.functions.length;
  const notes = [
    ...(count === 0 ? [] : [`local functions were put in place of their calls (${count})`]),
    ...(raised === inlined ? [] : [`raised from opset ${opsetVersion(inlined)} to ${LEAST_OPSET}`]),
    ...(plain === raised
      ? []
      : ['Einsum and reshaped weights are spelled as products with a matrix']),
    ...(isWidened ? ['computes in float32 what the source computes in bfloat16'] : []),
  ];
  return { model, isWidened, notes };
}

/** Throws {@link UnsupportedError} saying why a prepared model could not be raised to opset 13. */
export function requireRaised(model: Model, path: string): void {
  if (isOld(model)) naming(path, () => raiseOpset(model, LEAST_OPSET));
}

function raisedIfPossible(model: Model): Model {
  try {
    return isOld(model) ? raiseOpset(model, LEAST_OPSET) : model;
  } catch (error) {
    // Older models can still be inspected; requireRaised says why they are refused.
    if (error instanceof UnsupportedError) return model;
    throw error;
  }
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
