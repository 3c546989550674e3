/** ONNX files in and out, external data included; weights are read when they are asked for. */
export {
  type OpenOptions,
  openModel,
  type SaveOptions,
  saveModel,
} from '../storage/model-file.ts';
