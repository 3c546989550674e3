import { onnxruntimeRunner } from './onnxruntime/onnxruntime-runner.ts';
import type { Runner } from './runner.ts';

/** All runtimes that autoglm can drive. A new one is a file and a line here. */
export const RUNNERS: readonly Runner[] = [onnxruntimeRunner];
