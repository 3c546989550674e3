import { describe, expect, it } from 'vitest';
import { onnxFileName } from '../../../src/targets/onnx/onnx-file-name.ts';

describe('onnxFileName', () => {
  it('gives the names under which transformers.js looks', () => {
    const kinds = ['fp32', 'fp16', 'q8', 'int8', 'uint8', 'q4'] as const;
    expect(kinds.map((kind) => onnxFileName(kind))).toEqual([
      'model.onnx',
      'model_fp16.onnx',
      'model_quantized.onnx',
      'model_int8.onnx',
      'model_uint8.onnx',
      'model_q4.onnx',
    ]);
  });

  it('keeps the stem of a multi-graph model', () => {
    expect(onnxFileName('q4', 'decoder_model_merged')).toBe('decoder_model_merged_q4.onnx');
  });
});
