import { COREML } from './coreml/target.ts';
import { MNN } from './mnn/target.ts';
import { ONNX } from './onnx/target.ts';
import type { Target } from './target.ts';
import { TENSORRT } from './tensorrt/target.ts';

/** Everyone an artifact can be written for, in the order of help. A new one is a folder and a line here. */
export const TARGETS: readonly Target[] = [TENSORRT, ONNX, MNN, COREML];
