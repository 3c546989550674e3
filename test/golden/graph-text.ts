/**
 * A subset of ONNX's textual syntax, for golden files:
 *
 *     <ir_version: 8, opset_import: ["" : 18]>
 *     main (float16[batch, 4] x) => (float16[batch, 4] y)
 *     <float16[4] w = {1, 2, 3, 4}, float16[batch, 4] h> {
 *       h = Add(x, w)
 *       y = Cast<to = 1>(h)
 *     }
 *
 * Entries in the angle brackets are initializers where a value follows, else value infos. One extension: `= ramp`
 * fills a tensor with `((index mod 13) - 6) / 8`, so that a weight can be large in a small file. Local functions
 * follow the graph; in them `@alpha` stands for an attribute of the call:
 *
 *     <domain: "pkg", opset_import: ["" : 18]>
 *     Leaky <slope, offset = 0.5> (x) => (y) {
 *       y = LeakyRelu<alpha = @slope>(x)
 *     }
 */
import type { AttributeLiteral } from '../../src/ir/attributes.ts';
import { attributes } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type {
  Attribute,
  Dim,
  FunctionDefinition,
  Graph,
  Model,
  Node,
  ValueInfo,
} from '../../src/ir/model.ts';
import { elementCount, inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { float32ArrayToBfloat16 } from '../../src/numerics/bfloat16.ts';
import { tensorElements, tensorOfElements } from '../../src/ops/tensor-elements.ts';

const TEXT_TYPES: Readonly<Record<string, DataType>> = { float: 'float32', double: 'float64' };
const TOKEN =
  /\s*(?:#[^\n]*\n\s*)*(=>|-?(?:inf|\d[\d.]*(?:e[+-]?\d+)?)|"[^"]*"|@?[\w./:-]+|[<>()[\]{},=:])/y;

/** Returns the model that a text describes. Throws with the position of the first mistake. */
export function parseModel(text: string): Model {
  const reader = new Reader(text);
  const { ir_version: irVersion = '0', opsetImports } = parseHeader(reader);
  const graph = parseGraph(reader);
  const functions: FunctionDefinition[] = [];
  while (reader.peek() === '<') functions.push(parseFunction(reader));
  const storage = { external: false, files: [] };
  return { irVersion: Number(irVersion), opsetImports, graph, functions, storage };
}

interface Header {
  readonly ir_version?: string;
  readonly domain?: string;
  readonly overload?: string;
  readonly opsetImports: Model['opsetImports'];
}

function parseHeader(reader: Reader): Header {
  const opsetImports: { domain: string; version: number }[] = [];
  const fields: Record<string, string> = {};
  reader.expect('<');
  do {
    const key = reader.next().replace(':', '');
    if (key !== 'opset_import') fields[key] = unquote(reader.next());
    else {
      reader.expect('[');
      do {
        const domain = unquote(reader.next());
        reader.expect(':');
        opsetImports.push({ domain, version: Number(reader.next()) });
      } while (reader.accept(','));
      reader.expect(']');
    }
  } while (reader.accept(','));
  reader.expect('>');
  return { ...fields, opsetImports };
}

function parseFunction(reader: Reader): FunctionDefinition {
  const { domain = '', overload, opsetImports } = parseHeader(reader);
  const name = reader.next();
  const attributeNames: string[] = [];
  const attributeDefaults: Attribute[] = [];
  if (reader.accept('<')) {
    do {
      const attribute = reader.next();
      if (reader.accept('=')) attributeDefaults.push(parseAttributeValue(reader, attribute));
      else attributeNames.push(attribute);
    } while (reader.accept(','));
    reader.expect('>');
  }
  const [inputs] = [parseNames(reader), reader.expect('=>')];
  const outputs = parseNames(reader);
  const nodes: Node[] = [];
  reader.expect('{');
  while (!reader.accept('}')) nodes.push(parseNode(reader));
  const identity = { name, domain, ...(overload !== undefined && { overload }) };
  const signature = { inputs, outputs, attributeNames, attributeDefaults };
  return { ...identity, ...signature, nodes, opsetImports, valueInfo: new Map() };
}

function parseNames(reader: Reader): string[] {
  const names: string[] = [];
  reader.expect('(');
  while (!reader.accept(')')) {
    names.push(unquote(reader.next()));
    reader.accept(',');
  }
  return names;
}

class Reader {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  peek(): string {
    TOKEN.lastIndex = this.at;
    return TOKEN.exec(this.text)?.[1] ?? '';
  }

  next(): string {
    const token = this.peek();
    if (token === '')
      throw new Error(`graph text: cannot read on at "${this.text.slice(this.at, this.at + 30)}".`);
    this.at = TOKEN.lastIndex;
    return token;
  }

  accept(token: string): boolean {
    if (this.peek() !== token) return false;
    this.next();
    return true;
  }

  expect(token: string): void {
    const got = this.next();
    if (got !== token) throw new Error(`graph text: got "${got}", expected "${token}".`);
  }
}

function parseGraph(reader: Reader): Graph {
  const name = reader.next();
  const inputs = parseValues(reader);
  reader.expect('=>');
  const outputs = parseValues(reader);
  const initializers = new Map<string, Tensor>();
  const valueInfo = new Map<string, ValueInfo>();
  if (reader.accept('<')) {
    do {
      const info = parseValue(reader);
      if (reader.accept('=')) initializers.set(info.name, parseTensor(reader, info));
      else valueInfo.set(info.name, info);
    } while (reader.accept(','));
    reader.expect('>');
  }
  const nodes: Node[] = [];
  reader.expect('{');
  while (!reader.accept('}')) nodes.push(parseNode(reader));
  return { name, nodes, inputs, outputs, initializers, sparseInitializers: [], valueInfo };
}

function parseValues(reader: Reader): ValueInfo[] {
  const values: ValueInfo[] = [];
  reader.expect('(');
  while (!reader.accept(')')) {
    values.push(parseValue(reader));
    reader.accept(',');
  }
  return values;
}

function parseValue(reader: Reader): ValueInfo {
  const type = reader.next();
  const dataType = TEXT_TYPES[type] ?? (type as DataType);
  const shape: Dim[] = [];
  const hasShape = reader.accept('[');
  while (hasShape && !reader.accept(']')) {
    let dim = reader.next();
    while (!['[', ']', ','].includes(reader.peek())) dim += ` ${reader.next()}`;
    shape.push(dim === '?' ? undefined : /^\d+$/.test(dim) ? Number(dim) : unquote(dim));
    reader.accept(',');
  }
  const name = reader.next();
  return { name, type: { kind: 'tensor', dataType, shape } };
}

function parseTensor(reader: Reader, info: ValueInfo): Tensor {
  if (info.type?.kind !== 'tensor') throw new Error(`graph text: ${info.name} is no tensor.`);
  const dims = (info.type.shape ?? []).map(Number);
  const elements: number[] = [];
  const words: string[] = [];
  if (reader.accept('ramp')) {
    for (let index = 0; index < elementCount(dims); index++) elements.push(((index % 13) - 6) / 8);
  } else {
    reader.expect('{');
    while (!reader.accept('}')) {
      words.push(reader.next());
      elements.push(Number(words.at(-1)?.replace('inf', 'Infinity')));
      reader.accept(',');
    }
  }
  if (info.type.dataType === 'int64') {
    const bytes = new Uint8Array(
      BigInt64Array.from(words.length > 0 ? words : elements, BigInt).buffer,
    );
    return inlineTensor(info.name, 'int64', dims, bytes);
  }
  if (info.type.dataType === 'bfloat16') {
    const halves = float32ArrayToBfloat16(Float32Array.from(elements));
    return inlineTensor(info.name, 'bfloat16', dims, new Uint8Array(halves.buffer));
  }
  const tensor = tensorOfElements(info.name, info.type.dataType, dims, elements);
  if (tensor === undefined) throw new Error(`graph text: cannot make ${info.name}.`);
  return tensor;
}

function parseNode(reader: Reader): Node {
  const outputs = [reader.next()];
  while (reader.accept(',')) outputs.push(reader.peek() === ',' ? '' : reader.next());
  reader.expect('=');
  const [called = '', overload] = reader.next().split(':');
  const path = called.split('.');
  const opType = path.pop() ?? '';
  const found: Attribute[] = [];
  if (reader.accept('<')) {
    do found.push(parseAttribute(reader));
    while (reader.accept(','));
    reader.expect('>');
  }
  const inputs: string[] = [];
  reader.expect('(');
  while (!reader.accept(')')) {
    inputs.push(reader.peek() === ',' ? '' : unquote(reader.next()));
    reader.accept(',');
  }
  const attributeMap = new Map(found.map((attribute) => [attribute.name, attribute]));
  return {
    name: '',
    opType,
    domain: path.join('.'),
    inputs,
    outputs,
    attributes: attributeMap,
    ...(overload !== undefined && { overload }),
  };
}

function parseAttribute(reader: Reader): Attribute {
  const name = reader.next();
  reader.expect('=');
  return parseAttributeValue(reader, name);
}

function parseAttributeValue(reader: Reader, name: string): Attribute {
  const token = reader.peek();
  let literal: AttributeLiteral;
  if (token.startsWith('@')) {
    return { name, kind: 'reference', value: reader.next().slice(1), typeCode: 0 };
  }
  if (token === '[') literal = parseList(reader);
  else if (/^"/.test(token)) literal = unquote(reader.next());
  else if (/^-?\d+$/.test(token)) literal = BigInt(reader.next());
  else if (/^-?[\d.]/.test(token)) literal = Number(reader.next());
  else if (token === 'graph') {
    reader.next();
    literal = parseGraph(reader);
  } else {
    const info = parseValue(reader);
    literal = parseTensor(reader, info);
  }
  const attribute = attributes({ [name]: literal }).get(name);
  if (attribute === undefined) throw new Error(`graph text: attribute ${name} has no value.`);
  return attribute;
}

function parseList(reader: Reader): readonly bigint[] | readonly number[] {
  const tokens: string[] = [];
  reader.expect('[');
  while (!reader.accept(']')) {
    tokens.push(reader.next());
    reader.accept(',');
  }
  return tokens.every((token) => /^-?\d+$/.test(token)) ? tokens.map(BigInt) : tokens.map(Number);
}

function unquote(token: string): string {
  return token.replace(/^"|"$/g, '');
}

/** Returns the text of a model, the inverse of {@link parseModel}. Long tensors print as `ramp`. */
export function printModel(model: Model): string {
  const opsets = model.opsetImports.map(({ domain, version }) => `"${domain}" : ${version}`);
  const header = `<ir_version: ${model.irVersion}, opset_import: [${opsets.join(', ')}]>`;
  const functions = model.functions.map((definition) => `\n${printFunction(definition)}\n`);
  return `${header}\n${printGraph(model.graph, '')}\n${functions.join('')}`;
}

function printFunction(definition: FunctionDefinition): string {
  const { name, domain, overload, inputs, outputs, attributeNames, attributeDefaults } = definition;
  const opsets = definition.opsetImports.map((entry) => `"${entry.domain}" : ${entry.version}`);
  const fields = [
    `domain: "${domain}"`,
    ...(overload === undefined ? [] : [`overload: "${overload}"`]),
    `opset_import: [${opsets.join(', ')}]`,
  ];
  const parameters = [...attributeNames, ...attributeDefaults.map((a) => printAttribute(a, ''))];
  const list = parameters.length === 0 ? '' : ` <${parameters.join(', ')}>`;
  const nodes = definition.nodes.map((node) => `  ${printNode(node, '  ')}`);
  const head = `${name}${list} (${inputs.join(', ')}) => (${outputs.join(', ')})`;
  return `<${fields.join(', ')}>\n${head} {\n${nodes.join('\n')}\n}`;
}

function printGraph(graph: Graph, indent: string): string {
  const constants = [...graph.initializers.values()].map((tensor) => {
    const { name, dataType, dims } = tensor;
    return `${printType(dataType, dims)} ${name} = ${printElements(tensor)}`;
  });
  const infos = [...graph.valueInfo.values()].map(printValue);
  const header = `${graph.name} (${graph.inputs.map(printValue).join(', ')}) => (${graph.outputs.map(printValue).join(', ')})`;
  const entries = [...constants, ...infos];
  const middle = entries.length === 0 ? '' : `\n${indent}<${entries.join(`,\n${indent} `)}>`;
  const nodes = graph.nodes.map((node) => `${indent}  ${printNode(node, `${indent}  `)}`);
  return `${header}${middle} {\n${nodes.join('\n')}\n${indent}}`;
}

function printValue(info: ValueInfo): string {
  if (info.type?.kind !== 'tensor') return info.name;
  return `${printType(info.type.dataType, info.type.shape ?? [])} ${info.name}`;
}

function printType(dataType: DataType, shape: readonly Dim[]): string {
  const name = Object.entries(TEXT_TYPES).find(([, type]) => type === dataType)?.[0] ?? dataType;
  const dims = shape.map((dim) => {
    if (dim === undefined) return '?';
    return typeof dim === 'string' && !/^\w+$/.test(dim) ? `"${dim}"` : dim;
  });
  return dims.length === 0 ? name : `${name}[${dims.join(', ')}]`;
}

function printElements(tensor: Tensor): string {
  const elements = tensorElements(tensor);
  return elements === undefined || elements.length > 16 ? 'ramp' : `{${elements.join(', ')}}`;
}

function printNode(node: Node, indent: string): string {
  const printed = [...node.attributes.values()].map((entry) => printAttribute(entry, indent));
  const overload = node.overload === undefined ? '' : `:${node.overload}`;
  const op = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
  const list = printed.length === 0 ? '' : `<${printed.join(', ')}>`;
  return `${node.outputs.join(', ')} = ${op}${overload}${list}(${node.inputs.join(', ')})`;
}

function printAttribute(attribute: Attribute, indent: string): string {
  const { name, kind, value } = attribute;
  if (kind === 'reference') return `${name} = @${value}`;
  if (kind === 'graph') return `${name} = graph ${printGraph(value, indent)}`;
  if (kind === 'tensor')
    return `${name} = ${printType(value.dataType, value.dims)} ${value.name || name} ${printElements(value)}`;
  if (kind === 'string') return `${name} = "${new TextDecoder().decode(value)}"`;
  if (kind === 'float') return `${name} = ${Number.isInteger(value) ? value.toFixed(1) : value}`;
  return `${name} = ${Array.isArray(value) ? `[${value.join(', ')}]` : String(value)}`;
}
