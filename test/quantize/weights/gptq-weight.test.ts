import { describe, expect, it } from 'vitest';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import { gptqRounding } from '../../../src/quantize/weights/gptq-weight.ts';
import { momentsOfGram, noMoments } from '../../../src/quantize/weights/input-moments.ts';
import { quantizeWeight } from '../../../src/quantize/weights/quantized-weight.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import { IN, linearModel, OUT } from '../../kit/models.ts';

const kernel = createWeightKernel();
const grid = { scaleType: 'float32', isPairSafe: true } as const;

/** Features that are one another's copies but for a tenth. */
const gram = new Float32Array(IN * IN).map((_, index) => (index % (IN + 1) === 0 ? 1.1 : 1));

async function rounded(transposed: boolean, hasMoments = true) {
  const [layer] = findLinears(linearModel({ op: 'MatMul', rank: 3, transposed }));
  const { tensor, outputAxis } = layer!.weight;
  const nearest = quantizeWeight(tensor, outputAxis, grid, kernel);
  const round = gptqRounding(async () =>
    hasMoments ? momentsOfGram(IN, 500, gram) : noMoments(IN),
  );
  const weight = round(layer!, nearest, true);
  const read = async ({ values }: typeof weight): Promise<Int8Array> => {
    const bytes = new Uint8Array(values.byteLength);
    await values.read(bytes, 0);
    return new Int8Array(bytes.buffer);
  };
  const floats = await readTensorBytes(tensor);
  const values = new Float32Array(floats.buffer, floats.byteOffset, floats.byteLength / 4);
  return { outputAxis, weight, nearest, read, values };
}

describe('gptqRounding', () => {
  it.each([false, true])('keeps scales and layout of a weight (turned: %s)', async (isTurned) => {
    const { outputAxis, weight, nearest, read, values } = await rounded(isTurned);
    expect(outputAxis).toBe(isTurned ? 0 : 1);
    const scales = await nearest.scales();
    expect(await weight.scales()).toEqual(scales);
    const integers = await read(weight);
    expect(integers).not.toEqual(await read(nearest));
    integers.forEach((integer, index) => {
      const channel = isTurned ? Math.floor(index / IN) : index % OUT;
      // What features carry to one another here is less than a step, and half a step is rounded.
      expect(Math.abs(values[index]! / scales[channel]! - integer)).toBeLessThan(1.5);
    });
  });

  it('reads parts as it reads the whole', async () => {
    const { weight, read } = await rounded(false);
    const whole = new Uint8Array((await read(weight)).buffer);
    const part = new Uint8Array(100);
    await weight.values.read(part, 37);
    expect(part).toEqual(whole.subarray(37, 137));
  });

  it('keeps nearest integers where nothing is known of the input', async () => {
    const { weight, nearest, read } = await rounded(true, false);
    expect(await read(weight)).toEqual(await read(nearest));
  });
});
