import { UsageError } from '../errors.ts';
import type { ShapeRange, ShapeRanges } from '../formats/tensorrt/build-script.ts';
import type { Dim, Model } from '../ir/model.ts';

/** Tokens for which kernels are tuned, and the longest sequence, when nothing else is said. */
const USUAL_TOKENS = 128;
const LONGEST_TOKENS = 512;

/** `input_ids:1x1..1x128..1x512`, or one shape for all three bounds. */
const SHAPE = /^(.+):(\d+(?:x\d+)*)(?:\.\.(\d+(?:x\d+)*)\.\.(\d+(?:x\d+)*))?$/;

/** Returns the shapes that `--shape` options name. Throws UsageError for anything else. */
export function parseShapes(texts: readonly string[]): ShapeRanges {
  return new Map(
    texts.map((text): [string, ShapeRange] => {
      const [, name, min, opt, max] = SHAPE.exec(text) ?? [];
      if (name === undefined || min === undefined) {
        throw new UsageError(
          `--shape: not a shape (got "${text}", expected name:MIN..OPT..MAX such as input_ids:1x1..1x128..1x512).`,
        );
      }
      const parse = (dims: string): readonly number[] => dims.split('x').map(Number);
      return [name, { min: parse(min), opt: parse(opt ?? min), max: parse(max ?? min) }];
    }),
  );
}

/**
 * Returns shapes for every input with open dims: those given, else batch 1 and, derived together, 1
 * to 512 tokens (tuned for 128), a past of 0 to 511 and a mask that covers both. An axis of unknown
 * meaning gets no shape, so that the build script asks for it.
 */
export function engineShapes(model: Model, given: ShapeRanges): ShapeRanges {
  const shapes = new Map(given);
  for (const { name, type } of model.graph.inputs) {
    if (shapes.has(name) || model.graph.initializers.has(name)) continue;
    const dims = type?.kind === 'tensor' ? type.shape : undefined;
    const ranges = dims?.map((dim) => rangeOf(dim));
    if (ranges === undefined || ranges.includes(undefined)) continue;
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

function rangeOf(dim: Dim): AxisRange | undefined {
  if (typeof dim === 'number') return { min: dim, opt: dim, max: dim };
  if (dim === undefined) return undefined;
  if (/^(batch|batch_size|b|n)$/i.test(dim)) return { min: 1, opt: 1, max: 1 };
  const isPast = /past/i.test(dim);
  const isSequence = /seq|len|total|tokens|^s$|^t$/i.test(dim);
  if (isPast && !/\+|total/.test(dim)) return { min: 0, opt: 0, max: LONGEST_TOKENS - 1 };
  return isPast || isSequence ? { min: 1, opt: USUAL_TOKENS, max: LONGEST_TOKENS } : undefined;
}
