import type { z } from 'zod';
import { FormatError } from './errors.ts';

/** How the errors of a JSON file read. */
export interface RecordKind {
  /** Path of the file. */
  readonly where: string;
  /** What the file should be: `a quantization file of version 2`. */
  readonly what: string;
  /** What to do when it is not: `Quantize again.` */
  readonly cure: string;
}

/** Returns the JSON value that a file's text holds. Throws FormatError when it is none. */
export function parseJson(text: string, { where, cure }: Omit<RecordKind, 'what'>): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${where}: is not JSON. ${cure}`, { cause });
  }
}

/** Returns what a file of autoglm's own holds. Throws FormatError naming the first key that is wrong. */
export function parseRecord<T>(text: string, schema: z.ZodType<T>, kind: RecordKind): T {
  const parsed = schema.safeParse(parseJson(text, kind));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const key = issue === undefined || issue.path.length === 0 ? 'top level' : issue.path.join('.');
  throw new FormatError(
    `${kind.where}: is not ${kind.what} (${key}: ${issue?.message ?? 'invalid'}). ${kind.cure}`,
    { cause: parsed.error },
  );
}
