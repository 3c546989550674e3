import { FormatError } from '../../errors.ts';

/**
 * Throws the FormatError for a part of a file. `what` is one clause without a full stop; `advice`
 * says what a person can do.
 */
export function refuse(
  where: string,
  what: string,
  advice = 'Export the model again.',
  options?: ErrorOptions & { readonly byteOffset?: number },
): never {
  throw new FormatError(`${where}: ${what}. ${advice}`, options);
}
