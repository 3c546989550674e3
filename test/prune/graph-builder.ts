/** Builds graphs node by node, as exporters do: sizes as constants or computed, constants shared or not. */
import { type AttributeLiteral, attributes } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Dim, Model, Node } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { tensorOfElements } from '../../src/ops/tensor-elements.ts';
import { floats, model, value } from '../kit/models.ts';

/** Numbers that a seed decides (xorshift). */
export interface Dice {
  /** An integer in [0, count). */
  below(count: number): number;
  /** One of the entries. */
  pick<Entry>(entries: readonly Entry[]): Entry;
  chance(probability: number): boolean;
  /** `count` different integers below `size`, ascending. */
  subset(size: number, count: number): readonly number[];
}

export function dice(seed: number): Dice {
  let state = Math.imul(seed + 1, 2654435761) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let warm = 0; warm < 8; warm++) next();
  const below = (count: number): number => Math.floor(next() * count);
  return {
    below,
    pick: (entries) => entries[below(entries.length)]!,
    chance: (probability) => next() < probability,
    subset(size, count) {
      const rest = [...Array(size).keys()];
      return Array.from({ length: count }, () => rest.splice(below(rest.length), 1)[0]!).sort(
        (a, b) => a - b,
      );
    },
  };
}

/** A size of a shape: a number, or an axis of the input `x` that only a run tells. */
export type Size = number | 'B' | 'T';

export interface BuilderOptions {
  readonly dice: Dice;
  readonly opset: number;
  /** Sizes of the batch and of the sequence. */
  readonly sizes: Readonly<Record<'B' | 'T', number>>;
  /** Shapes hold numbers for `B` and `T`. */
  readonly isStatic: boolean;
  /** Weights in {-1, 0, 1}: sums are exact in any order. */
  readonly isInteger: boolean;
  /** Equal constants are one. */
  readonly sharesConstants: boolean;
}

export class GraphBuilder {
  readonly nodes: Node[] = [];
  readonly initializers: Tensor[] = [];
  readonly options: BuilderOptions;
  readonly dice: Dice;
  readonly #known = new Map<string, string>();
  #count = 0;

  constructor(options: BuilderOptions) {
    this.options = options;
    this.dice = options.dice;
  }

  name(stem: string): string {
    return `${stem}_${this.#count++}`;
  }

  /** Adds a node and returns its first output. */
  op(
    opType: string,
    inputs: readonly string[],
    literals: Readonly<Record<string, AttributeLiteral>> = {},
    domain = '',
  ): string {
    return this.ops(opType, inputs, 1, literals, domain)[0]!;
  }

  ops(
    opType: string,
    inputs: readonly string[],
    count: number,
    literals: Readonly<Record<string, AttributeLiteral>> = {},
    domain = '',
  ): readonly string[] {
    const name = this.name(opType);
    const outputs = Array.from({ length: count }, (_, index) => `${name}_out${index}`);
    this.nodes.push({ name, opType, domain, inputs, outputs, attributes: attributes(literals) });
    return outputs;
  }

  /** Adds a constant; equal ones are one where the builder shares them. */
  constant(dataType: DataType, dims: readonly number[], elements: readonly number[]): string {
    const key = `${dataType} ${dims.join()} ${elements.join()}`;
    const known = this.#known.get(key);
    if (known !== undefined && this.options.sharesConstants) return known;
    const name = this.name('const');
    this.initializers.push(tensorOfElements(name, dataType, dims, elements)!);
    this.#known.set(key, name);
    return name;
  }

  ints(...elements: readonly number[]): string {
    return this.constant('int64', [elements.length], elements);
  }

  scalar(element: number): string {
    return this.constant('float32', [], [element]);
  }

  /** Adds random weights of its own. */
  weight(...dims: readonly number[]): string {
    const name = this.name('weight');
    const count = dims.reduce((product, dim) => product * dim, 1);
    const numbers = Array.from({ length: count }, () => this.number());
    this.initializers.push(floats(name, dims, numbers));
    return name;
  }

  number(): number {
    return this.options.isInteger
      ? this.dice.below(3) - 1
      : (this.dice.below(2 ** 20) / 2 ** 19 - 1) / 4;
  }

  bytes(dims: readonly number[], make: () => number): string {
    const name = this.name('bytes');
    const count = dims.reduce((product, dim) => product * dim, 1);
    this.initializers.push(
      inlineTensor(name, 'int8', dims, Uint8Array.from({ length: count }, make)),
    );
    return name;
  }

  /** A vector of sizes, as a constant where all are known, else joined from what `Shape` gives. */
  shape(...sizes: readonly Size[]): string {
    const { isStatic, sizes: known } = this.options;
    if (isStatic || sizes.every((size) => typeof size === 'number')) {
      const numbers = sizes.map((size) => (typeof size === 'number' ? size : known[size]));
      return this.ints(...numbers);
    }
    const parts = sizes.map((size) =>
      typeof size === 'number' ? this.ints(size) : this.runSize(size),
    );
    return this.op('Concat', parts, { axis: 0n });
  }

  /** The size of an axis of `x` as a vector of one element. */
  runSize(size: 'B' | 'T'): string {
    const shape = this.op('Shape', ['x']);
    const at = this.constant('int64', [], [size === 'B' ? 0 : 1]);
    const picked = this.op('Gather', [shape, at], { axis: 0n });
    return this.op('Unsqueeze', [picked, this.ints(0)]);
  }

  /** Reshapes, in one of the spellings of exporters; `zeros` says how many axes at the front stay. */
  reshape(from: string, sizes: readonly Size[], zeros = 0): string {
    const spelled: Size[] = [...sizes];
    if (zeros > 0 && this.dice.chance(0.4)) spelled.fill(0, 0, zeros);
    const open = spelled.findIndex((size) => typeof size !== 'number');
    if (open >= 0 && this.dice.chance(0.3)) spelled[open] = -1;
    else if (this.dice.chance(0.3)) spelled[spelled.length - 1 - this.dice.below(2)] = -1;
    return this.op('Reshape', [from, this.shape(...spelled)]);
  }

  transpose(from: string, ...perm: readonly number[]): string {
    return this.op('Transpose', [from], { perm: perm.map(BigInt) });
  }

  /** The graph as a model with input `x`. */
  build(input: readonly Dim[], outputs: Readonly<Record<string, readonly Dim[]>>): Model {
    const built = model({
      nodes: this.nodes,
      initializers: this.initializers,
      inputs: [value('x', 'float32', input)],
      outputs: Object.entries(outputs).map(([name, shape]) => value(name, 'float32', shape)),
      opset: this.options.opset,
    });
    const opsetImports = [...built.opsetImports, { domain: 'com.microsoft', version: 1 }];
    return { ...built, irVersion: 10, opsetImports };
  }
}
