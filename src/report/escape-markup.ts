/**
 * Returns text that is safe between tags and inside quoted attributes of XML and HTML. Characters that
 * XML 1.0 cannot hold at all (section 2.2: control characters, lone surrogates, U+FFFE, U+FFFF) become
 * U+FFFD, because no escape exists for them.
 */
export function escapeMarkup(text: string): string {
  let escaped = '';
  for (const character of text) escaped += ENTITIES[character] ?? allowed(character);
  return escaped;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  // Parsers turn these into spaces inside attributes unless they are spelled out.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

function allowed(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const isForbidden =
    code < 0x20 || (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff;
  return isForbidden ? '\ufffd' : character;
}
