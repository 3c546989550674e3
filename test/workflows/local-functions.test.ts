import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { opsetVersion } from '../../src/ir/model.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { inspect } from '../../src/workflows/inspect.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { parseModel } from '../golden/graph-text.ts';
import { noise } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const samples: SmallData = { dims: [4, 6, 32], values: noise(5, 4 * 6 * 32) };

/** Two MLP blocks, each a function that calls the one of a linear layer, as torch exports modules. */
const MODULES = `
<ir_version: 8, opset_import: ["" : 17, "pkg.net" : 1]>
main (float[batch, length, 32] x) => (float[batch, length, 32] y)
<float[32, 64] one.up.weight = ramp, float[64] one.up.bias = ramp,
 float[64, 32] one.down.weight = ramp, float[32] one.down.bias = ramp,
 float[32, 64] two.up.weight = ramp, float[64] two.up.bias = ramp,
 float[64, 32] two.down.weight = ramp, float[32] two.down.bias = ramp> {
  h = pkg.net.Block(x, one.up.weight, one.up.bias, one.down.weight, one.down.bias)
  y = pkg.net.Block(h, two.up.weight, two.up.bias, two.down.weight, two.down.bias)
}

<domain: "pkg.net", opset_import: ["" : 17]>
Linear (x, w, b) => (y) {
  product = MatMul(x, w)
  y = Add(product, b)
}

<domain: "pkg.net", opset_import: ["" : 17, "pkg.net" : 1]>
Block (x, uw, ub, dw, db) => (y) {
  centre = ReduceMean<axes = [-1]>(x)
  flat = Sub(x, centre)
  up = pkg.net.Linear(flat, uw, ub)
  active = Relu(up)
  down = pkg.net.Linear(active, dw, db)
  y = Elu(down)
}
`;

/** A layer as Paddle writes it: axes as attributes, Softmax over two axes at once. */
const PADDLE = (opset: number) => `
<ir_version: 6, opset_import: ["" : ${opset}]>
main (float[batch, length, 32] x) => (float[batch, length, 32] y)
<float[32, 32] w = ramp, float[32, 32] v = ramp, float[32] b = ramp> {
  rows = Unsqueeze<axes = [1]>(x)
  share = Softmax<axis = 2>(rows)
  again = Squeeze<axes = [1]>(share)
  a = MatMul(again, w)
  c = Add(a, b)
  l, r = Split<axis = 2, split = [16, 16]>(c)
  turned = Concat<axis = 2>(r, l)
  active = Relu(turned)
  e = MatMul(active, v)
  y = Elu(e)
}
`;

describe('A model of local functions', () => {
  it('is inspected and quantized as if its modules had not been functions', async () => {
    const source = parseModel(MODULES);
    const files = await writeSmall(source, samples);
    const { summary } = await inspect(files);
    expect(summary.linears.reduce((sum, { count }) => sum + count, 0)).toBe(4);
    const output = join(files.folder, 'out');
    const { plan, fusion } = await quantize({ ...files, output }, listeningReporter());
    expect(plan.layers.map(({ name, scheme }) => [name, scheme])).toEqual(
      ['one.up', 'one.down', 'two.up', 'two.down'].map((name) => [name, 'w8a8']),
    );
    expect(fusion?.unfused).toEqual([]);
    expect((await openModel(join(output, 'model.onnx'))).functions).toEqual([]);
    // Four layers of 8 bits in turn.
    expect(await sqnrOfY(output, source, samples)).toBeGreaterThan(30);
  });

  it('keeps its functions when it is opened to be written again', async () => {
    const files = await writeSmall(parseModel(MODULES), samples);
    const names = (await openModel(files.model)).functions.map(({ name }) => name);
    expect(names).toEqual(['Linear', 'Block']);
  });
});

describe('A model of opset 11', () => {
  it('is raised and quantized; inspect shows the opset of the file', async () => {
    const source = parseModel(PADDLE(11));
    const files = await writeSmall(source, samples);
    expect((await inspect(files)).summary.opsets).toEqual([{ domain: '', version: 11 }]);
    const output = join(files.folder, 'out');
    const { plan, fusion } = await quantize({ ...files, output }, listeningReporter());
    expect(plan.layers.map(({ scheme }) => scheme)).toEqual(['w8a8', 'w8a8']);
    expect(fusion?.unfused).toEqual([]);
    expect(opsetVersion(await openModel(join(output, 'model.onnx')))).toBe(13);
    // Two layers of 8 bits.
    expect(await sqnrOfY(output, source, samples)).toBeGreaterThan(30);
  });

  it.each(['w8a8', 'w8a16', 'w4a16-g32'])(
    'is refused before calibration when it is older: %s',
    async (recipe) => {
      const files = await writeSmall(parseModel(PADDLE(10)), samples);
      const reporter = { ...listeningReporter(), progress: () => expect.unreachable() };
      const output = join(files.folder, 'out');
      const attempt = quantize({ ...files, output, recipe }, reporter);
      await expect(attempt).rejects.toThrow(UnsupportedError);
      await expect(attempt).rejects.toThrow(
        'cannot be raised to opset 13 (got opset 10, expected 11 or newer). Export it again with opset 18.',
      );
      const dry = quantize({ ...files, recipe, dryRun: true }, reporter);
      await expect(dry).rejects.toThrow('cannot be raised to opset 13 (got opset 10');
    },
  );
});
