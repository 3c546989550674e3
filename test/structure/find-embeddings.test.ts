import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { findEmbeddings } from '../../src/structure/find-embeddings.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';

function table(name: string, rows: number, width: number): Tensor {
  return floats(name, [rows, width], noise(rows, rows * width));
}

/** A model of tables that are gathered, and of what computes their ids. */
function gathering(
  tables: readonly Tensor[],
  nodes: readonly Node[],
  inputs: readonly string[] = ['input_ids'],
): Model {
  return model({
    nodes,
    initializers: tables,
    inputs: inputs.map((name) => value(name, 'int64', ['batch', 'length'])),
    outputs: [value(nodes.at(-1)!.outputs[0]!, 'float32', ['batch', 'length', 'width'])],
  });
}

function found(source: Model): readonly string[] {
  return findEmbeddings(source, findLinears(source)).map(({ name }) => name);
}

describe('findEmbeddings', () => {
  it('finds a table that is named like one and gathered by ids of the input, through Cast and Where', () => {
    const nodes = [
      node('Cast', ['input_ids'], 'wide', { to: 7n }),
      node('Where', ['is_known', 'wide', 'unknown'], 'ids'),
      node('Gather', ['word_embeddings', 'ids'], 'y'),
    ];
    expect(found(gathering([table('word_embeddings', 64, 32)], nodes))).toEqual([
      'word_embeddings',
    ]);
  });

  it.each([
    ['one column: the scales of integer rows', table('token_weight', 512, 1)],
    ['two rows: segments', table('embeddings.segment_table', 2, 64)],
    ['few rows by an unknown name', table('embedding_42', 4, 64)],
    ['segments by name', table('token_type_embeddings', 64, 64)],
  ])('leaves alone what has %s', (_why, tensor) => {
    const nodes = [node('Gather', [tensor.name, 'input_ids'], 'y')];
    expect(found(gathering([tensor], nodes))).toEqual([]);
  });

  it('leaves block scales beside a table of integers alone, however wide they are', () => {
    const integers = inlineTensor('embed_q', 'uint8', [256, 1024], new Uint8Array(256 * 1024));
    const scales = table('embed_blocks', 256, 32);
    const nodes = [
      node('Gather', ['embed_q', 'input_ids'], 'rows'),
      node('Gather', ['embed_blocks', 'input_ids'], 'y'),
    ];
    expect(found(gathering([integers, scales], nodes))).toEqual([]);
  });

  it('leaves tables alone that positions are looked up in, whatever they are called', () => {
    const embed = table('embed_7.weight', 64, 32);
    const counted = [
      node('Shape', ['input_ids'], 'shape'),
      node('Gather', ['shape', 'one'], 'length'),
      node('Range', ['zero', 'length', 'one'], 'ids'),
      node('Gather', ['embed_7.weight', 'ids'], 'y'),
    ];
    expect(found(gathering([embed], counted))).toEqual([]);
    // RoBERTa counts the tokens that are no padding.
    const summed = [
      node('Equal', ['input_ids', 'one'], 'padding'),
      node('Not', ['padding'], 'real'),
      node('Cast', ['real'], 'ones', { to: 7n }),
      node('CumSum', ['ones', 'one'], 'ids'),
      node('Gather', ['embed_7.weight', 'ids'], 'y'),
    ];
    const constants = [inlineTensor('one', 'int64', [1], new Uint8Array(8))];
    expect(found(gathering([embed, ...constants], summed))).toEqual([]);
    const given = [node('Gather', ['embed_7.weight', 'position_ids'], 'y')];
    expect(found(gathering([embed], given, ['position_ids']))).toEqual([]);
  });
});
