/** How the weights of an ONNX file are stored, in the words of transformers.js (`dtype`). */
export type OnnxFileKind = 'fp32' | 'fp16' | 'q8' | 'int8' | 'uint8' | 'q4';

const SUFFIXES: Readonly<Record<OnnxFileKind, string>> = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q4: '_q4',
};

/**
 * Returns the file name under which transformers.js looks for a model of that kind:
 * `model_quantized.onnx` for `q8`. `base` is `model`, `decoder_model_merged` and so on.
 */
export function onnxFileName(kind: OnnxFileKind, base = 'model'): string {
  return `${base}${SUFFIXES[kind]}.onnx`;
}
