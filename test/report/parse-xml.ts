/** An element as it stands in a document. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

/** The production Char of XML 1.0, section 2.2. */
export function isXmlCharacter(character: string): boolean {
  const code = character.codePointAt(0)!;
  return (
    [0x9, 0xa, 0xd].includes(code) ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    code >= 0x10000
  );
}

/**
 * Returns the root element of an XML 1.0 document, or throws at the first thing that is not
 * well-formed. Knows what JUnit needs: declaration, elements, attributes, text, references.
 */
export function parseXml(document: string): XmlElement {
  const illegal = [...document].find((character) => !isXmlCharacter(character));
  if (illegal !== undefined) throw new Error(`not allowed in XML: ${JSON.stringify(illegal)}`);
  const declaration = /^<\?xml version="1\.0"( encoding="UTF-8")?\?>\s*/.exec(document);
  let position = declaration?.[0].length ?? 0;
  const fail = (what: string): never => {
    throw new Error(`${what} at ${position}: ${document.slice(position, position + 40)}`);
  };
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    const sticky = new RegExp(pattern.source, 'y');
    sticky.lastIndex = position;
    const match = sticky.exec(document);
    if (match === null) return undefined;
    position += match[0].length;
    return match;
  };
  const decode = (raw: string): string => {
    if (raw.includes('<')) fail('bare <');
    return raw.replace(/&([^;]*)(;?)/g, (_, name: string, end: string) => {
      const code = /^#(\d+)$/.exec(name)?.[1];
      const decoded = code === undefined ? ENTITIES[name] : String.fromCodePoint(Number(code));
      return end === ';' && decoded !== undefined ? decoded : fail(`bad reference &${name}`);
    });
  };
  const element = (): XmlElement => {
    const name = take(/<([A-Za-z_][\w.-]*)/)?.[1] ?? fail('expected an element');
    const attributes = new Map<string, string>();
    for (let found = take(/\s+([A-Za-z_][\w.-]*)="([^"]*)"/); found !== undefined; ) {
      const [, key = '', value = ''] = found;
      if (attributes.has(key)) fail(`attribute ${key} twice`);
      attributes.set(key, decode(value));
      found = take(/\s+([A-Za-z_][\w.-]*)="([^"]*)"/);
    }
    if (take(/\s*\/>/) !== undefined) return { name, attributes, children: [], text: '' };
    if (take(/\s*>/) === undefined) fail('expected >');
    const children: XmlElement[] = [];
    let text = '';
    for (;;) {
      const raw = take(/[^<]+/)?.[0] ?? '';
      if (raw.includes(']]>')) fail(']]> in text');
      text += decode(raw);
      if (take(new RegExp(`</${name}\\s*>`)) !== undefined) break;
      children.push(element());
    }
    return { name, attributes, children, text: text.trim() };
  };
  const root = element();
  take(/\s+/);
  if (position !== document.length) fail('text after the root element');
  return root;
}
