/** An encoder of tokens like BERT, with one head, small enough for a test that writes it to disk. */
import type { Dim, Model, Node } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

const WIDTH = 32;

function linear(x: string, name: string, width: number, to: number): [Node[], Tensor[]] {
  const weight = noise(name.length + width, width * to).map((w) => w / Math.sqrt(width));
  return [
    [
      node('MatMul', [x, `${name}.weight`], `${name}.product`),
      node('Add', [`${name}.product`, `${name}.bias`], name),
    ],
    [floats(`${name}.weight`, [width, to], weight), floats(`${name}.bias`, [to], noise(3, to))],
  ];
}

function int64(name: string, dims: readonly number[], values: readonly bigint[]): Tensor {
  return inlineTensor(name, 'int64', dims, new Uint8Array(BigInt64Array.from(values).buffer));
}

/**
 * Returns [batch, tokens] ids, mask and token types -> `hidden` [batch, tokens, 32]: embeddings, attention
 * in which the mask counts, a feed-forward layer. 64 ids, as many tokens as one likes.
 */
export function tinyEncoder(shape: readonly Dim[] = ['batch', 'tokens']): Model {
  const [q, k, v] = ['query', 'key', 'value'].map((name) => linear('embedded', name, WIDTH, WIDTH));
  const [up, down] = [linear('attended', 'up', WIDTH, 64), linear('active', 'down', 64, WIDTH)];
  const parts = [q!, k!, v!, up, down];
  const [qkv, ffnUp, ffnDown] = [parts.slice(0, 3).flatMap(([nodes]) => nodes), up[0], down[0]];
  return model({
    nodes: [
      node('Gather', ['word_embeddings', 'input_ids'], 'words'),
      node('Gather', ['type_embeddings', 'token_type_ids'], 'types'),
      node('Add', ['words', 'types'], 'embedded'),
      ...qkv,
      node('Transpose', ['key'], 'keys', { perm: [0n, 2n, 1n] }),
      node('MatMul', ['query', 'keys'], 'scores'),
      node('Cast', ['attention_mask'], 'mask', { to: 1n }),
      node('Unsqueeze', ['mask', 'row'], 'columns'),
      node('Sub', ['columns', 'one'], 'padding'),
      node('Mul', ['padding', 'huge'], 'penalty'),
      node('Add', ['scores', 'penalty'], 'masked'),
      node('Softmax', ['masked'], 'shares', { axis: -1n }),
      node('MatMul', ['shares', 'value'], 'attended'),
      ...ffnUp,
      node('Relu', ['up'], 'active'),
      ...ffnDown,
      node('Add', ['down', 'attended'], 'hidden'),
    ],
    initializers: [
      floats('word_embeddings', [64, WIDTH], noise(1, 64 * WIDTH)),
      floats('type_embeddings', [2, WIDTH], noise(2, 2 * WIDTH)),
      int64('row', [1], [1n]),
      floats('one', [], [1]),
      floats('huge', [], [1e4]),
      ...parts.flatMap(([, tensors]) => tensors),
    ],
    inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) =>
      value(name, 'int64', shape),
    ),
    outputs: [value('hidden', 'float32', [...shape, WIDTH])],
  });
}
