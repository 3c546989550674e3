import { z } from 'zod';
import { RunnerError, UnavailableError, UsageError } from '../../errors.ts';
import { parseRecord } from '../../parse-record.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';
import type { Session, SessionValue } from '../runner.ts';
import { findMnn } from './find-mnn.ts';
import { type Answer, startMnn } from './mnn-process.ts';

/** How to run a `.mnn` file. */
export interface MnnOptions {
  /** The interpreter that has MNN; see `findMnn`. */
  readonly python?: string | undefined;
  readonly threads?: number;
  /** `high` is float32 everywhere. */
  readonly precision?: 'normal' | 'high' | 'low';
  /** `low` keeps integer weights as they are and rounds activations to INT8 in each run. */
  readonly memory?: 'normal' | 'low';
  /** MNN has two ways to run a file, which find tensors by name or by index; names of outputs for the session. */
  readonly api?: 'module' | { readonly sessionOutputs: readonly string[] };
  /** Pairs of hint number and value, as `Interpreter::HintMode` has them. */
  readonly hints?: readonly (readonly [mode: number, value: number])[];
}

/** The runtime takes these as integers; a word like 'low' would be taken as 0 without a sign. */
const PRECISION = { normal: 0, high: 1, low: 2 } as const;
const MEMORY = { normal: 0, low: 2 } as const;

/**
 * Opens a `.mnn` file in the real runtime, on the CPU of this machine, in a process of its own. Values are float32 and
 * int32; the types and dims of outputs are those that autoglm noted in the file. Throws {@link UnavailableError} when no Python here has MNN, {@link RunnerError} with what the runtime said
 * when it does not load the file.
 */
export async function openMnn(path: string, options: MnnOptions = {}): Promise<Session> {
  const found = await findMnn(options.python);
  if (typeof found === 'string') throw new UnavailableError(found);
  const {
    threads = 1,
    precision = 'high',
    memory = 'normal',
    api = 'module',
    hints = [],
  } = options;
  const child = startMnn(found.python);
  try {
    const { header } = await child.ask({
      command: 'load',
      path,
      threads,
      precision: PRECISION[precision],
      memory: MEMORY[memory],
      api: api === 'module' ? 'module' : 'session',
      outputs: api === 'module' ? [] : api.sessionOutputs,
      hints,
    });
    const declared = header['inputs'] as readonly SessionValue[];
    const note = parseNote(String(header['note']), path);
    const byName = (values: readonly SessionValue[], name: string): SessionValue | undefined =>
      values.find((value) => value.name === name);
    const inputs = declared.map((value) => byName(note.inputs, value.name) ?? value);
    const outputs = header['outputs'] as readonly string[];
    return {
      inputs,
      outputs: outputs.map(
        (name) => byName(note.outputs, name) ?? { name, dataType: 'float32', dims: [] },
      ),
      run: async (feeds, fetches) =>
        pick(await child.ask(...request('run', feeds, inputs)), fetches),
      time: async (feeds, count) => {
        const [order, payload] = request('time', feeds, inputs);
        const answer = await child.ask({ ...order, count }, payload);
        return answer.header['times'] as readonly number[];
      },
      peakMemoryBytes: async () => Number((await child.ask({ command: 'peak' })).header['peak']),
      close: () => child.stop(),
    };
  } catch (error) {
    await child.stop();
    throw error instanceof RunnerError ? new RunnerError(`${path}: ${error.message}`) : error;
  }
}

const noteValue = z.object({
  name: z.string(),
  dataType: z.enum(['float32', 'int32']),
  dims: z.array(z.union([z.string(), z.int()])),
});
const noteSchema = z.object({ inputs: z.array(noteValue), outputs: z.array(noteValue) });

/**
 * Returns what autoglm writes into its files about inputs and outputs; nothing where somebody else wrote the
 * file. Throws FormatError naming `path` when it is damaged.
 */
function parseNote(text: string, path: string): z.infer<typeof noteSchema> {
  if (!text.startsWith('{"inputs":')) return { inputs: [], outputs: [] };
  const what = 'the description of its inputs that autoglm leaves in a .mnn';
  return parseRecord(text, noteSchema, { where: path, what, cure: 'Export it again.' });
}

type Request = readonly [order: Readonly<Record<string, unknown>>, payload: readonly Uint8Array[]];

function request(command: string, feeds: Feeds, inputs: readonly SessionValue[]): Request {
  const values = inputs.map(({ name, dataType }) => {
    const value = feeds.get(name);
    if (value === undefined) {
      throw new UsageError(
        `input ${name}: the sample has no value for it. Give one for each input.`,
      );
    }
    return { name, dims: value.dims, data: converted(value, dataType, name) };
  });
  const described = values.map(({ name, dims, data }) => ({
    name,
    dims,
    dataType: data instanceof Int32Array ? 'int32' : 'float32',
    byteLength: data.byteLength,
  }));
  const payload = values.map(
    ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  );
  return [{ command, feeds: described }, payload];
}

/** int64 and bool are int32 in MNN. */
function converted(
  { data, dataType: given }: TensorValue,
  dataType: string,
  name: string,
): Int32Array | Float32Array {
  if (given === 'float16' || given === 'bfloat16') {
    throw new UsageError(`input ${name}: MNN is fed float32 (got ${given}). Widen the sample.`);
  }
  const numbers = data as ArrayLike<number | bigint>;
  if (dataType !== 'int32') {
    return data instanceof Float32Array ? data : Float32Array.from(numbers, Number);
  }
  if (data instanceof Int32Array) return data;
  return Int32Array.from(numbers, (number) => {
    if ((Number(number) | 0) === Number(number)) return Number(number);
    throw new UsageError(
      `input ${name}: MNN is fed int32 (got ${number}, expected -2147483648 to 2147483647). Change the sample.`,
    );
  });
}

function pick({ header, payload }: Answer, fetches: readonly string[] | undefined): Feeds {
  const described = header['outputs'] as readonly {
    name: string;
    dims: number[];
    dataType: string;
  }[];
  const entries = described.map(({ name, dims, dataType }, index): [string, TensorValue] => {
    const { buffer } = payload[index] ?? new Uint8Array(0);
    return dataType === 'int32'
      ? [name, { dataType, dims, data: new Int32Array(buffer) }]
      : [name, { dataType: 'float32', dims, data: new Float32Array(buffer) }];
  });
  return new Map(entries.filter(([name]) => fetches === undefined || fetches.includes(name)));
}
