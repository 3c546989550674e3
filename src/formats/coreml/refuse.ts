import { FormatError } from '../../errors.ts';

/** Names come from the file: none may fill the screen. */
const SHOWN_CHARACTERS = 300;

/** Throws the FormatError for a part of a package. `what` is one clause without a full stop. */
export function refuseCoreml(where: string, what: string, options?: ErrorOptions): never {
  throw new FormatError(
    `${printable(where)}: ${printable(what)}. Write the package again.`,
    options,
  );
}

function printable(text: string): string {
  const shown = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}...` : text;
  return shown.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
