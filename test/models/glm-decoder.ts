import { type AttributeLiteral, attributes } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Dim, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { elementCount, inlineTensor, type Tensor, type TensorSource } from '../../src/ir/tensor.ts';

/** Widths of a GLM-4 decoder. */
export interface GlmWidths {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly vocabulary: number;
}

/** The text decoder of GLM-4.1V-9B: 9.4 billion parameters, 18.8 GB in float16. */
export const GLM_9B: GlmWidths = {
  layers: 40,
  hidden: 4096,
  heads: 32,
  kvHeads: 2,
  headDim: 128,
  ffn: 13696,
  vocabulary: 151552,
};

/**
 * Returns a GLM-4 decoder as PyTorch's TorchScript exporter writes it (opset 18): anonymous [in, out] weights,
 * biases as the first operand, RMSNorm in single steps between Casts, packed gate_up with computed halves,
 * partial interleaved rotary embedding, KV caches, repeated KV heads. `weight` gives the bytes of each matrix.
 */
export function makeGlmDecoder(
  widths: GlmWidths,
  weight: (name: string, byteLength: number) => TensorSource,
): Model {
  const writer = new DecoderWriter(widths, weight);
  return writer.write();
}

type Attributes = Readonly<Record<string, AttributeLiteral>>;

/** Writes nodes one after another, naming each after its module path as TorchScript does. */
class DecoderWriter {
  private readonly nodes: Node[] = [];
  private readonly initializers = new Map<string, Tensor>();
  private readonly counts = new Map<string, number>();
  private readonly widths: GlmWidths;
  private readonly weight: (name: string, byteLength: number) => TensorSource;

  constructor(widths: GlmWidths, weight: (name: string, byteLength: number) => TensorSource) {
    this.widths = widths;
    this.weight = weight;
  }

  write(): Model {
    const { layers, hidden, vocabulary, kvHeads, headDim } = this.widths;
    const table = this.matrix('model.embed_tokens.weight', [vocabulary, hidden]);
    let stream = this.node('/model/embed_tokens', 'Gather', [table, 'input_ids']);
    const rotary = this.rotaryTables();
    const mask = this.mask();
    const cache = (name: string, length: string): ValueInfo =>
      info(name, 'float16', ['batch_size', kvHeads, length, headDim]);
    const inputs = [
      info('input_ids', 'int64', ['batch_size', 'sequence_length']),
      info('attention_mask', 'int64', ['batch_size', 'past_sequence_length + sequence_length']),
      info('position_ids', 'int64', ['batch_size', 'sequence_length']),
    ];
    const outputs = [info('logits', 'float16', ['batch_size', 'sequence_length', vocabulary])];
    for (let layer = 0; layer < layers; layer++) {
      for (const kind of ['key', 'value']) {
        inputs.push(cache(`past_key_values.${layer}.${kind}`, 'past_sequence_length'));
        outputs.push(cache(`present.${layer}.${kind}`, 'past_sequence_length + sequence_length'));
      }
      const path = `/model/layers.${layer}`;
      const attention = this.attention(
        layer,
        this.norm(`${path}/input_layernorm`, stream),
        rotary,
        mask,
      );
      const attended = this.norm(`${path}/post_self_attn_layernorm`, attention);
      stream = this.node(path, 'Add', [stream, attended]);
      const ffn = this.ffn(`${path}/mlp`, this.norm(`${path}/post_attention_layernorm`, stream));
      stream = this.node(path, 'Add', [stream, this.norm(`${path}/post_mlp_layernorm`, ffn)]);
    }
    const head = this.matrix('onnx::MatMul_head', [hidden, vocabulary]);
    this.emit('/lm_head', 'MatMul', [this.norm('/model/norm', stream), head], ['logits'], {});
    return {
      irVersion: 8,
      opsetImports: [{ domain: '', version: 18 }],
      graph: {
        name: 'main_graph',
        nodes: this.nodes,
        inputs,
        outputs,
        initializers: this.initializers,
        sparseInitializers: [],
        valueInfo: new Map(),
      },
      functions: [],
      producerName: 'pytorch',
      producerVersion: '2.8.0',
      storage: { external: true, files: [] },
    };
  }

  private attention(
    layer: number,
    x: string,
    rotary: readonly [string, string],
    mask: string,
  ): string {
    const { heads, kvHeads, headDim, hidden } = this.widths;
    const path = `/model/layers.${layer}/self_attn`;
    const [batch, sequence] = [this.dim(path, x, 0), this.dim(path, x, 1)];
    const split = (name: string, width: number): string => {
      const projected = this.linear(`${path}/${name}`, x, hidden, width, true);
      const shape = this.node(
        path,
        'Concat',
        [batch, sequence, this.ints([-1]), this.ints([headDim])],
        { axis: 0n },
      );
      return this.node(path, 'Transpose', [this.node(path, 'Reshape', [projected, shape])], {
        perm: [0n, 2n, 1n, 3n],
      });
    };
    const query = this.rotate(path, split('q_proj', heads * headDim), rotary);
    const newKey = this.rotate(path, split('k_proj', kvHeads * headDim), rotary);
    const newValue = split('v_proj', kvHeads * headDim);
    const join = (kind: string, value: string): string => {
      const past = `past_key_values.${layer}.${kind}`;
      return this.emit(path, 'Concat', [past, value], [`present.${layer}.${kind}`], { axis: 2n });
    };
    const key = this.repeat(path, join('key', newKey), batch);
    const value = this.repeat(path, join('value', newValue), batch);
    const transposed = this.node(path, 'Transpose', [key], { perm: [0n, 1n, 3n, 2n] });
    const scores = this.node(path, 'MatMul', [query, transposed]);
    const scaled = this.node(path, 'Mul', [scores, this.half(1 / Math.sqrt(headDim))]);
    const masked = this.node(path, 'Add', [scaled, mask]);
    const wide = this.node(path, 'Cast', [masked], { to: 1n });
    const softmax = this.node(path, 'Softmax', [wide], { axis: -1n });
    const narrow = this.node(path, 'Cast', [softmax], { to: 10n });
    const mixed = this.node(path, 'Transpose', [this.node(path, 'MatMul', [narrow, value])], {
      perm: [0n, 2n, 1n, 3n],
    });
    const shape = this.node(path, 'Concat', [batch, sequence, this.ints([-1])], { axis: 0n });
    const flat = this.node(path, 'Reshape', [mixed, shape]);
    return this.linear(`${path}/o_proj`, flat, heads * headDim, hidden, false);
  }

  /** Rotates the first half of the channels in pairs (2i, 2i + 1). */
  private rotate(path: string, x: string, [cos, sin]: readonly [string, string]): string {
    const { headDim } = this.widths;
    const rotaryDim = headDim / 2;
    const slice = (value: string, start: number, end: number, step: number): string =>
      this.node(path, 'Slice', [
        value,
        this.ints([start]),
        this.ints([end]),
        this.ints([3]),
        this.ints([step]),
      ]);
    const rotated = slice(x, 0, rotaryDim, 1);
    const passed = slice(x, rotaryDim, headDim, 1);
    const even = slice(rotated, 0, rotaryDim, 2);
    const odd = slice(rotated, 1, rotaryDim, 2);
    const column = (value: string): string =>
      this.node(path, 'Unsqueeze', [value, this.ints([-1])]);
    const pairs = this.node(path, 'Concat', [column(this.node(path, 'Neg', [odd])), column(even)], {
      axis: -1n,
    });
    const crossed = this.node(path, 'Reshape', [pairs, this.node(path, 'Shape', [rotated])]);
    const straight = this.node(path, 'Mul', [rotated, cos]);
    const turned = this.node(path, 'Add', [straight, this.node(path, 'Mul', [crossed, sin])]);
    return this.node(path, 'Concat', [turned, passed], { axis: -1n });
  }

  /** `[B, KV, T, D]` -> `[B, heads, T, D]`, with the repeat count as a literal. */
  private repeat(path: string, x: string, batch: string): string {
    const { heads, kvHeads, headDim } = this.widths;
    const total = this.dim(path, x, 2);
    const wide = this.node(path, 'Unsqueeze', [x, this.ints([2])]);
    const [kv, count, width] = [kvHeads, heads / kvHeads, headDim].map((dim) => this.ints([dim]));
    const expanded = this.node(path, 'Concat', [batch, kv!, count!, total, width!], { axis: 0n });
    const copies = this.node(path, 'Expand', [wide, expanded]);
    const shape = this.node(path, 'Concat', [batch, this.ints([heads]), total, width!], {
      axis: 0n,
    });
    return this.node(path, 'Reshape', [copies, shape]);
  }

  private ffn(path: string, x: string): string {
    const { hidden, ffn } = this.widths;
    const both = this.linear(`${path}/gate_up_proj`, x, hidden, 2 * ffn, false);
    const width = this.node(path, 'Gather', [this.node(path, 'Shape', [both]), this.ints([2])], {
      axis: 0n,
    });
    const rounded = this.node(path, 'Add', [width, this.ints([1])]);
    const half = this.node(path, 'Div', [rounded, this.ints([2])]);
    const [middle, end] = [1, 2].map((times) => this.node(path, 'Mul', [half, this.ints([times])]));
    const gate = this.node(path, 'Slice', [both, this.ints([0]), middle!, this.ints([2])]);
    const up = this.node(path, 'Slice', [both, middle!, end!, this.ints([2])]);
    const sigmoid = this.node(`${path}/activation_fn`, 'Sigmoid', [gate]);
    const activated = this.node(`${path}/activation_fn`, 'Mul', [gate, sigmoid]);
    const product = this.node(path, 'Mul', [up, activated]);
    return this.linear(`${path}/down_proj`, product, ffn, hidden, false);
  }

  private norm(path: string, x: string): string {
    const wide = this.node(path, 'Cast', [x], { to: 1n });
    const square = this.node(path, 'Pow', [wide, this.float(2)]);
    const mean = this.node(path, 'ReduceMean', [square, this.ints([-1])]);
    const root = this.node(path, 'Sqrt', [this.node(path, 'Add', [mean, this.float(1e-5)])]);
    const inverse = this.node(path, 'Div', [this.float(1), root]);
    const scaled = this.node(path, 'Mul', [wide, inverse]);
    const narrow = this.node(path, 'Cast', [scaled], { to: 10n });
    const name = `${path.slice(1).replaceAll('/', '.')}.weight`;
    return this.node(path, 'Mul', [this.matrix(name, [this.widths.hidden]), narrow]);
  }

  private linear(path: string, x: string, inputs: number, outputs: number, bias: boolean): string {
    const weight = this.matrix(`onnx::MatMul_${this.initializers.size}`, [inputs, outputs]);
    const product = this.node(path, 'MatMul', [x, weight]);
    if (!bias) return product;
    const name = `${path.slice(1).replaceAll('/', '.')}.bias`;
    return this.node(path, 'Add', [this.matrix(name, [outputs]), product]);
  }

  private rotaryTables(): readonly [string, string] {
    const path = '/model/rotary_emb';
    const pairs = this.widths.headDim / 4;
    const frequencies = Float32Array.from({ length: pairs }, (_, at) => 10000 ** (-at / pairs));
    const inverse = this.constant(
      'onnx::Expand_frequencies',
      'float32',
      [1, 1, pairs],
      frequencies,
    );
    const positions = this.node(path, 'Unsqueeze', ['position_ids', this.ints([2])]);
    const angles = this.node(path, 'Mul', [
      this.node(path, 'Cast', [positions], { to: 1n }),
      inverse,
    ]);
    const column = this.node(path, 'Unsqueeze', [angles, this.ints([-1])]);
    const doubled = this.node(path, 'Concat', [column, column], { axis: -1n });
    const table = this.node(path, 'Reshape', [doubled, this.ints([0, 0, -1])]);
    const make = (op: string): string => {
      const narrow = this.node(path, 'Cast', [this.node(path, op, [table])], { to: 10n });
      return this.node(path, 'Unsqueeze', [narrow, this.ints([1])]);
    };
    return [make('Cos'), make('Sin')];
  }

  /** -65504 where a key lies after the query or is padding. */
  private mask(): string {
    const path = '/model';
    const past = this.dim(path, 'past_key_values.0.key', 2);
    const total = this.node(path, 'Add', [past, this.dim(path, 'input_ids', 1)]);
    const scalar = (value: string): string => this.node(path, 'Squeeze', [value, this.ints([0])]);
    const step = this.constant('one', 'int64', [], BigInt64Array.of(1n));
    const range = (from: string): string => this.node(path, 'Range', [from, scalar(total), step]);
    const zero = this.constant('zero', 'int64', [], BigInt64Array.of(0n));
    const queries = this.node(path, 'Unsqueeze', [range(scalar(past)), this.ints([1])]);
    const causal = this.node(path, 'LessOrEqual', [range(zero), queries]);
    const real = this.node(path, 'Cast', ['attention_mask'], { to: 9n });
    const seen = this.node(path, 'And', [
      causal,
      this.node(path, 'Unsqueeze', [real, this.ints([1, 2])]),
    ]);
    return this.node(path, 'Where', [seen, this.half(0), this.half(-65504)]);
  }

  private dim(path: string, value: string, axis: number): string {
    return this.node(path, 'Gather', [this.node(path, 'Shape', [value]), this.ints([axis])], {
      axis: 0n,
    });
  }

  private node(
    path: string,
    opType: string,
    inputs: readonly string[],
    literals: Attributes = {},
  ): string {
    return this.emit(path, opType, inputs, undefined, literals);
  }

  private emit(
    path: string,
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[] | undefined,
    literals: Attributes,
  ): string {
    const base = `${path}/${opType}`;
    const count = this.counts.get(base) ?? 0;
    this.counts.set(base, count + 1);
    const name = count === 0 ? base : `${base}_${count}`;
    const made = outputs ?? [`${name}_output_0`];
    this.nodes.push({
      name,
      opType,
      domain: '',
      inputs,
      outputs: made,
      attributes: attributes(literals),
    });
    return made[0] ?? '';
  }

  private matrix(name: string, dims: readonly number[]): string {
    const source = this.weight(name, elementCount(dims) * 2);
    this.initializers.set(name, { name, dataType: 'float16', dims, source });
    return name;
  }

  private ints(values: readonly number[]): string {
    const name = `/ints/${values.join('_')}`;
    return this.constant(name, 'int64', [values.length], BigInt64Array.from(values.map(BigInt)));
  }

  private float(value: number): string {
    return this.constant(`/float/${value}`, 'float32', [], Float32Array.of(value));
  }

  private half(value: number): string {
    return this.node('/half', 'Cast', [this.float(value)], { to: 10n });
  }

  private constant(
    name: string,
    dataType: DataType,
    dims: readonly number[],
    data: BigInt64Array | Float32Array,
  ): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializers.set(name, inlineTensor(name, dataType, dims, bytes));
    return name;
  }
}

function info(name: string, dataType: DataType, shape: readonly Dim[]): ValueInfo {
  return { name, type: { kind: 'tensor', dataType, shape } };
}
