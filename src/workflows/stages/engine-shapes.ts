import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import { UsageError } from '../../errors.ts';
import type { Dim, Model } from '../../ir/model.ts';
import type { ShapeRange, ShapeRanges } from '../../targets/shapes.ts';
import { type DataChoice, openData } from '../project/open-data.ts';

/** Tokens for which kernels are tuned, and the longest sequence, when nothing else is said. */
const USUAL_TOKENS = 128;
const LONGEST_TOKENS = 512;

/** `input_ids:1x1..1x128..1x512`, or one shape for all three bounds. */
const SHAPE = /^(.+):(\d+(?:x\d+)*)(?:\.\.(\d+(?:x\d+)*)\.\.(\d+(?:x\d+)*))?$/;

/**
 * Returns the shapes that `--shape` options name for inputs of a model. Throws UsageError for anything
 * else, for an input that there is not, and for bounds that are out of order or contradict its dims.
 */
export function parseShapes(texts: readonly string[], model: Model): ShapeRanges {
  return new Map(
    texts.map((text): [string, ShapeRange] => {
      const [, name, min, opt, max] = SHAPE.exec(text) ?? [];
      if (name === undefined || min === undefined) {
        throw new UsageError(
          `--shape: not a shape (got "${text}", expected name:MIN..OPT..MAX such as input_ids:1x1..1x128..1x512).`,
        );
      }
      const parse = (dims: string): readonly number[] => dims.split('x').map(Number);
      const range = { min: parse(min), opt: parse(opt ?? min), max: parse(max ?? min) };
      requireShapeOf(model, name, range, text);
      return [name, range];
    }),
  );
}

function requireShapeOf(
  model: Model,
  name: string,
  { min, opt, max }: ShapeRange,
  text: string,
): void {
  const dims = openInputs(model).get(name);
  if (dims === undefined) {
    const known = [...openInputs(model).keys()].join(', ');
    throw new UsageError(
      `--shape: the model has no input of this name (got "${text}", expected one of ${known}).`,
    );
  }
  const expected = dims?.map((dim) => dim ?? '?').join('x');
  if (dims !== null && [min, opt, max].some((bound) => !fits(bound, dims))) {
    throw new UsageError(
      `--shape: does not fit the input (got "${text}", expected dims of ${expected}).`,
    );
  }
  const isOrdered = min.every(
    (size, axis) => size <= (opt[axis] ?? -1) && (opt[axis] ?? -1) <= (max[axis] ?? -1),
  );
  if (!isOrdered) {
    throw new UsageError(
      `--shape: bounds are out of order (got "${text}", expected MIN <= OPT <= MAX on every axis).`,
    );
  }
}

function fits(shape: readonly number[], dims: readonly Dim[]): boolean {
  if (shape.length !== dims.length) return false;
  return dims.every((dim, axis) => typeof dim !== 'number' || dim === shape[axis]);
}

/** Declared dims of what must be fed, by name; null where the rank is not known. */
function openInputs({ graph }: Model): ReadonlyMap<string, readonly Dim[] | null> {
  return new Map(
    graph.inputs
      .filter(({ name }) => !graph.initializers.has(name))
      .map(({ name, type }) => [name, (type?.kind === 'tensor' ? type.shape : undefined) ?? null]),
  );
}

/** Says whether an input has an axis that neither its name nor a given shape tells. */
export function needsSamples(model: Model, given: ShapeRanges): boolean {
  return [...openInputs(model)].some(
    ([name, dims]) => !given.has(name) && dims?.some((dim) => rangeOf(dim) === undefined),
  );
}

/**
 * Returns shapes for every input with open dims: those given, else batch 1 and, derived together, 1
 * to 512 tokens (tuned for 128), a past of 0 to 511 and a mask that covers both. `seen`, the shapes of
 * samples, tells the axes of unknown meaning; where one of them is no first axis, which would be the
 * batch, it tells all axes but those called batch, since sizes may depend on each other. An axis that
 * nothing tells gets no shape, so that the build script asks for it.
 */
export function engineShapes(
  model: Model,
  given: ShapeRanges,
  seen: ShapeRanges = new Map(),
): ShapeRanges {
  const shapes = new Map(given);
  const inputs = [...openInputs(model)].flatMap(([name, dims]) =>
    dims === null || shapes.has(name) ? [] : [{ name, dims }],
  );
  const isTied = inputs.some(({ dims }) => dims.slice(1).some((dim) => rangeOf(dim) === undefined));
  for (const { name, dims } of inputs) {
    const ranges = dims.map((dim, axis) => {
      const known = rangeOf(dim);
      const isSettled = typeof dim === 'number' || (known !== undefined && isBatch(dim));
      return isSettled || !isTied ? (known ?? axisOf(seen, name, axis)) : axisOf(seen, name, axis);
    });
    if (ranges.includes(undefined)) continue;
    const bound = (key: keyof AxisRange): readonly number[] =>
      ranges.map((range) => range?.[key] ?? 1);
    shapes.set(name, { min: bound('min'), opt: bound('opt'), max: bound('max') });
  }
  return shapes;
}

interface AxisRange {
  readonly min: number;
  readonly opt: number;
  readonly max: number;
}

function axisOf(seen: ShapeRanges, name: string, axis: number): AxisRange | undefined {
  const range = seen.get(name);
  const [min, opt, max] = [range?.min[axis], range?.opt[axis], range?.max[axis]];
  if (min === undefined || opt === undefined || max === undefined) return undefined;
  return { min, opt, max };
}

function rangeOf(dim: Dim): AxisRange | undefined {
  if (typeof dim === 'number') return { min: dim, opt: dim, max: dim };
  if (dim === undefined) return undefined;
  if (isBatch(dim)) return { min: 1, opt: 1, max: 1 };
  const isPast = /past/i.test(dim);
  const isSequence = /seq|len|total|tokens|^s$|^t$/i.test(dim);
  if (isPast && !/\+|total/.test(dim)) return { min: 0, opt: 0, max: LONGEST_TOKENS - 1 };
  return isPast || isSequence ? { min: 1, opt: USUAL_TOKENS, max: LONGEST_TOKENS } : undefined;
}

function isBatch(dim: Dim): boolean {
  return /^(batch|batch_size|b|n)$/i.test(String(dim));
}

/**
 * Returns smallest, median and largest size of every axis over the calibration samples, as they are fed.
 * Throws as `makeFeeds` does.
 */
export async function sampleShapes(source: ModelOnDisk, choice: DataChoice): Promise<ShapeRanges> {
  const inputs = feedInputs(source.model.graph);
  const hints = feedHints(source.model);
  const found = new Map(inputs.map(({ name, dims }) => [name, dims.map((): number[] => [])]));
  const dataset = await openData(choice, source);
  for await (const sample of dataset.samples('calibration')) {
    for (const [name, { dims }] of makeFeeds(inputs, sample, hints)) {
      for (const [axis, size] of dims.entries()) found.get(name)?.[axis]?.push(size);
    }
  }
  return new Map(
    [...found].map(([name, axes]): [string, ShapeRange] => {
      const sorted = axes.map((sizes) => sizes.sort((a, b) => a - b));
      const at = (share: number): readonly number[] =>
        sorted.map((sizes) => sizes[Math.floor((sizes.length - 1) * share)] ?? 1);
      return [name, { min: at(0), opt: at(0.5), max: at(1) }];
    }),
  );
}
