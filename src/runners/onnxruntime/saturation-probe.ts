import type { SessionCommands } from './session-commands.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** A model of one product, y = a b with uint8 a [1, 2] and int8 b [2, 1] (MatMulInteger, opset 13). */
const PRODUCT = Buffer.from(
  'CAc6XAoYCgFhCgFiEgF5Ig1NYXRNdWxJbnRlZ2VyEgFwWhMKAWESDgoMCAISCAoCCAEKAggCWhMKAWISDgoMCAMSCAoCCAIK' +
    'AggBYhMKAXkSDgoMCAYSCAoCCAEKAggBQgQKABAN',
  'base64',
);

let known: Promise<boolean | undefined> | undefined;

/**
 * Returns whether onnxruntime on this CPU adds pairs of uint8 x int8 products in saturating 16 bits, as x86
 * before VNNI does: `255 * 127 + 255 * 127` is then 32,767. Undefined when the product gives neither
 * that nor the exact 64,770, or onnxruntime does not run here. One product tells more than CPU flags, which
 * some systems hide and emulators invent. Tried once per process, in a child.
 */
export function saturatesPairs(): Promise<boolean | undefined> {
  known ??= multiplyPair().then(
    (sum) => (sum === 2 * 255 * 127 ? false : sum === 32767 ? true : undefined),
    // Whether onnxruntime runs at all, and why not, is said by the device list.
    () => undefined,
  );
  return known;
}

async function multiplyPair(): Promise<number> {
  const child = startOnnxruntime<SessionCommands>(import.meta.url, 'session-process');
  try {
    const { session } = await child.call('open', { model: PRODUCT, options: { device: 'cpu' } });
    const feeds = new Map([
      ['a', { dataType: 'uint8', dims: [1, 2], data: Uint8Array.of(255, 255) } as const],
      ['b', { dataType: 'int8', dims: [2, 1], data: Int8Array.of(127, 127) } as const],
    ]);
    const outputs = await child.call('run', { session, feeds, fetches: undefined });
    return Number(outputs.get('y')?.data[0]);
  } finally {
    await child.stop();
  }
}
