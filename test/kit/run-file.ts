import { InferenceSession, Tensor } from 'onnxruntime-node';

/** Outputs by name as `dtype [dims] base64`, or the message with which onnxruntime refuses. */
export type RunResult = Readonly<Record<string, string>> | string;

/**
 * Runs a model on the CPU with inputs that depend only on its declared inputs, so that two
 * spellings of one model get the same. Floats lie in [-1, 1), integers in {0, 1}; a symbolic dim is
 * 1 for batch and channels, 28 for height and width, 3 for the past, 5 for past and present
 * together, else 2.
 */
export async function runFile(path: string): Promise<RunResult> {
  try {
    const session = await InferenceSession.create(path, { logSeverityLevel: 4 });
    const feeds: Record<string, Tensor> = {};
    for (const input of session.inputMetadata) {
      if (!input.isTensor) return `input ${input.name} is not a tensor`;
      const dims = input.shape.map((dim) => (typeof dim === 'number' ? dim : symbolSize(dim)));
      feeds[input.name] = tensorOf(input.type, dims);
    }
    const outputs = await session.run(feeds);
    const results: Record<string, string> = {};
    for (const [name, output] of Object.entries(outputs)) {
      const { data } = output;
      const bytes = ArrayBuffer.isView(data)
        ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
        : Buffer.from(JSON.stringify(data));
      results[name] = `${output.type} [${output.dims}] ${bytes.toString('base64')}`;
    }
    await session.release();
    return results;
  } catch (error) {
    return String(error).replaceAll(path, '<path>');
  }
}

function symbolSize(symbol: string): number {
  if (/batch|channels/i.test(symbol)) return 1;
  if (/height|width/i.test(symbol)) return 28;
  if (/total|\+/i.test(symbol)) return 5;
  return /past/i.test(symbol) ? 3 : 2;
}

function tensorOf(type: string, dims: readonly number[]): Tensor {
  const count = dims.reduce((product, dim) => product * dim, 1);
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  switch (type) {
    case 'float32':
      return new Tensor(
        type,
        Float32Array.from({ length: count }, () => next() * 2 - 1),
        dims,
      );
    case 'float64':
      return new Tensor(
        type,
        Float64Array.from({ length: count }, () => next() * 2 - 1),
        dims,
      );
    case 'float16': {
      // Bit patterns of +-[0.5, 1): sign, exponent 14, random mantissa.
      const bits = Uint16Array.from({ length: count }, () => {
        const mantissa = Math.floor(next() * 1024);
        return (next() < 0.5 ? 0x8000 : 0) | (14 << 10) | mantissa;
      });
      return new Tensor(type, bits, dims);
    }
    case 'int64':
      return new Tensor(
        type,
        BigInt64Array.from({ length: count }, () => (next() < 0.5 ? 0n : 1n)),
        dims,
      );
    case 'int32':
      return new Tensor(
        type,
        Int32Array.from({ length: count }, () => (next() < 0.5 ? 0 : 1)),
        dims,
      );
    case 'bool':
      return new Tensor(
        type,
        Uint8Array.from({ length: count }, () => (next() < 0.5 ? 0 : 1)),
        dims,
      );
    default:
      throw new Error(`no feeds of type ${type}`);
  }
}
