import { FormatError } from '../../errors.ts';

/** Names come from the file: none may fill the screen. */
const SHOWN_CHARACTERS = 300;

/**
 * Throws the FormatError for a part of a file. `what` is one clause without a full stop; `advice`
 * says what a person can do. Names from the file may stand in both `where` and `what`: control
 * characters are escaped, and very long texts shortened.
 */
export function refuse(
  where: string,
  what: string,
  advice = 'Export the model again.',
  options?: ErrorOptions & { readonly byteOffset?: number },
): never {
  throw new FormatError(`${printable(where)}: ${printable(what)}. ${advice}`, options);
}

function printable(text: string): string {
  const shown =
    text.length > 2 * SHOWN_CHARACTERS
      ? `${text.slice(0, SHOWN_CHARACTERS)}...${text.slice(-SHOWN_CHARACTERS)}`
      : text;
  return shown.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}
