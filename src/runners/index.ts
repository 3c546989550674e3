import type { Compiler } from './compiler.ts';
import { mnnRunner } from './mnn/mnn-runner.ts';
import { onnxruntimeRunner } from './onnxruntime/onnxruntime-runner.ts';
import type { Runner } from './runner.ts';
import { trtexecCompiler } from './tensorrt/compile-engine.ts';

/** All runtimes that autoglm can drive. A new one is a file and a line here. */
export const RUNNERS: readonly Runner[] = [onnxruntimeRunner, mnnRunner];

/** All programs that compile an artifact for a device. A new one is a file and a line here. */
export const COMPILERS: readonly Compiler[] = [trtexecCompiler];
