import { z } from 'zod';
import { TARGETS } from '../../targets/index.ts';

/** One artifact that a config asks for. */
export interface ExportSettings {
  /** Id of the target. */
  readonly target: string;
  /** Shapes, as `--shape` takes them. */
  readonly shape: readonly string[];
  /** Settings of the target itself, not parsed yet. */
  readonly options: Readonly<Record<string, unknown>>;
}

const shapeSchema = z
  .array(z.string())
  .optional()
  .describe('Bounds of inputs, as name:min..opt..max (ids:1x1..1x128..1x512).');

type Section = { readonly shape?: readonly string[] | undefined } & Readonly<
  Record<string, unknown>
>;

/**
 * Returns the schema of `export:`, a section for each target (`{ onnx: {}, tensorrt: { shape: [...] } }`); one
 * alone may be written as `{ target: tensorrt, shape: [...] }`. Parsed, it is a list.
 */
export function exportSchema() {
  const sections = Object.fromEntries(
    TARGETS.map(({ id, summary, options }) => [
      id,
      options.extend({ shape: shapeSchema }).nullable().optional().describe(`Writes ${summary}.`),
    ]),
  );
  const alone = {
    target: z
      .enum(TARGETS.map(({ id }) => id))
      .optional()
      .describe('The only target, in place of a section.'),
    shape: shapeSchema,
  };
  return z
    .strictObject({ ...alone, ...sections })
    .refine((value) => value.target === undefined || countSections(value) === 0, {
      error: 'either "target" or a section for each target, not both.',
    })
    .refine((value) => value.target !== undefined || value.shape === undefined, {
      error: 'a shape belongs into the section of its target.',
    })
    .transform(toSettings);
}

function countSections(value: Readonly<Record<string, unknown>>): number {
  return TARGETS.filter(({ id }) => value[id] !== undefined).length;
}

function toSettings(value: Readonly<Record<string, unknown>>): readonly ExportSettings[] {
  const { target, shape } = value as { target?: string; shape?: readonly string[] };
  if (target !== undefined) return [{ target, shape: shape ?? [], options: {} }];
  return TARGETS.filter(({ id }) => value[id] !== undefined).map(({ id }) => {
    const { shape: own, ...options } = (value[id] ?? {}) as Section;
    return { target: id, shape: own ?? [], options };
  });
}
