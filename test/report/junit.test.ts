import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeMarkup } from '../../src/report/escape-markup.ts';
import { renderJunit } from '../../src/report/junit.ts';
import { isXmlCharacter, parseXml } from './parse-xml.ts';
import { HOSTILE_CHECK, SAMPLE_CHECK } from './sample-check.ts';

describe('renderJunit', () => {
  it('has one suite for the check and one test case per gate', () => {
    const root = parseXml(renderJunit(SAMPLE_CHECK));
    expect(root.name).toBe('testsuites');
    const [suite] = root.children;
    expect(suite?.attributes.get('tests')).toBe('2');
    expect(suite?.attributes.get('failures')).toBe('1');
    expect(suite?.attributes.get('errors')).toBe('0');
    const cases = suite?.children.filter(({ name }) => name === 'testcase') ?? [];
    expect(cases.map(({ attributes }) => attributes.get('name'))).toEqual([
      'maxTop1Drop <= 0.5pt',
      'minSpeedup >= 3x',
    ]);
    expect(cases[0]?.children).toEqual([]);
    expect(cases[1]?.children[0]?.name).toBe('failure');
    expect(cases[1]?.children[0]?.text).toBe(SAMPLE_CHECK.gates[1]?.text);
  });

  it('puts properties before test cases, as the schema of Jenkins asks for', () => {
    const [suite] = parseXml(renderJunit(SAMPLE_CHECK)).children;
    expect(suite?.children.map(({ name }) => name)).toEqual(['properties', 'testcase', 'testcase']);
  });

  it('stays well-formed and loses no printable character whatever names and texts hold', () => {
    const [suite] = parseXml(renderJunit(HOSTILE_CHECK)).children;
    expect(suite?.attributes.get('name')).toBe(
      ']]><script>alert(1)</script>\ufffd\ufffd|*.onnx against a<b>&"\'.onnx',
    );
  });

  it('is a valid document with no gates at all', () => {
    const [suite] = parseXml(renderJunit({ ...SAMPLE_CHECK, gates: [] })).children;
    expect(suite?.attributes.get('tests')).toBe('0');
  });
});

describe('escapeMarkup', () => {
  it('survives a strict parser for every string, and changes only what XML cannot hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const parsed = parseXml(`<a b="${escapeMarkup(text)}"/>`).attributes.get('b') ?? '';
        const kept = Array.from(text, (character) =>
          isXmlCharacter(character) ? character : '\ufffd',
        );
        expect(parsed).toBe(kept.join(''));
      }),
    );
  });
});
