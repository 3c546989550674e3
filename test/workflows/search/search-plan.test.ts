import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ModelOnDisk, openModelOnDisk } from '../../../src/artifact/model-on-disk.ts';
import type { CalibrationFile } from '../../../src/calibrate/calibration-file.ts';
import { GateFailedError } from '../../../src/errors.ts';
import { editGraph, withGraph } from '../../../src/ir/edit.ts';
import type { Model } from '../../../src/ir/model.ts';
import { inlineTensor, readTensorBytes } from '../../../src/ir/tensor.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../../src/numerics/float16.ts';
import type { QuantizationPlan } from '../../../src/quantize/quantization-plan.ts';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import type { LinearLayer, LinearRole } from '../../../src/structure/linear-layer.ts';
import type { ProgressEvent, Reporter } from '../../../src/workflows/progress.ts';
import { rankSensitivity, searchPlan } from '../../../src/workflows/search/search-plan.ts';
import { calibrateSource } from '../../../src/workflows/stages/calibrate-model.ts';
import { planModel } from '../../../src/workflows/stages/plan-model.ts';
import { loadRecipe } from '../../../src/workflows/stages/quantize-model.ts';
import { root } from '../../kit/paths.ts';
import { sharedFolder } from '../../kit/temporary-folder.ts';

const data = join(root, 'calibration/text');
const choice = { data, samples: 4, heldOutSamples: 4, sequenceLength: 64 };
/** Down projection made sensitive by its input, and the block it belongs to. */
const SABOTAGED = 3;
const FACTOR = 256;
const SABOTAGED_CHANNEL = 5;

const folder = sharedFolder();
let source: ModelOnDisk;
let plan: QuantizationPlan;

beforeAll(async () => {
  const model = await openModel(join(root, 'fixtures/glm-nano/optimum'));
  await saveModel(await sabotage(model), join(folder, 'model.onnx'));
  source = await openModelOnDisk(join(folder, 'model.onnx'));
  const recipe = await loadRecipe(join(root, 'test/workflows/every-layer.yaml'));
  const calibration = await calibrateSource({ source, choice }, reporter().it);
  plan = (await planModel({ source, recipe, calibration: withoutRows(calibration) })).plan;
}, 120_000);

/** The rows that calibration keeps would tell the planner at once, and leave nothing to be searched. */
function withoutRows(calibration: CalibrationFile): CalibrationFile {
  const tensors = [...calibration.tensors].map(
    ([name, { rows: _, ...statistics }]) => [name, statistics] as const,
  );
  return { ...calibration, tensors: new Map(tensors) };
}

/**
 * Makes one channel between `up` and `down` of a block 256 times as large and takes it back in the
 * weight behind it: the same function, but an input with an outlier channel.
 */
async function sabotage(model: Model): Promise<Model> {
  const linears = findLinears(model);
  const find = (...roles: readonly LinearRole[]): LinearLayer =>
    linears.find(({ block, role }) => block === SABOTAGED && roles.includes(role))!;
  const up = find('up', 'gate-up');
  const down = find('down');
  const channel = up.role === 'up' ? SABOTAGED_CHANNEL : up.outFeatures / 2 + SABOTAGED_CHANNEL;
  const before = await scaleChannel(up, 'output', channel, FACTOR);
  const after = await scaleChannel(down, 'input', SABOTAGED_CHANNEL, 1 / FACTOR);
  return withGraph(model, editGraph(model.graph, { addInitializers: [before, after] }));
}

async function scaleChannel(
  { weight }: LinearLayer,
  side: 'input' | 'output',
  channel: number,
  factor: number,
) {
  const { tensor, initializer, outputAxis } = weight;
  const [rows, columns] = tensor.dims as readonly [number, number];
  const bytes = await readTensorBytes(tensor);
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, rows * columns);
  const axis = side === 'output' ? outputAxis : 1 - outputAxis;
  for (let index = 0; index < halves.length; index++) {
    const own = axis === 0 ? Math.floor(index / columns) : index % columns;
    if (own === channel)
      halves[index] = float32ToFloat16(float16ToFloat32(halves[index]!) * factor);
  }
  return inlineTensor(initializer, 'float16', [rows, columns], bytes);
}

function reporter(onProgress: (event: ProgressEvent) => void = () => {}): {
  readonly it: Reporter;
  readonly events: ProgressEvent[];
} {
  const events: ProgressEvent[] = [];
  return {
    events,
    it: {
      progress: (event) => {
        events.push(event);
        onProgress(event);
      },
      warn: () => {},
      note: () => {},
    },
  };
}

const isSabotaged = (name: string): boolean =>
  new RegExp(`layers\\.${SABOTAGED}\\..*down_proj`).test(name);

describe('a search on a model with one sabotaged layer', { timeout: 120_000 }, () => {
  it('ranks the sabotaged layer first and meets the budget by giving up that one alone', async () => {
    const place = { choice, cacheFolder: join(folder, 'first') };
    const ranked = await rankSensitivity({ source, plan }, place, reporter().it);
    const [first, second] = ranked.groups;
    expect(isSabotaged(first!.name)).toBe(true);
    expect(first!.excessKl!).toBeGreaterThan(3 * second!.excessKl!);
    // The channel that was made 256 times as large, wherever the token.
    expect(first!.outliers).toMatchObject({ channel: SABOTAGED_CHANNEL });
    expect(first!.outliers!.largest).toBeGreaterThan(20 * second!.outliers!.typical);
    expect(first!.range!.max - first!.range!.min).toBeGreaterThan(first!.outliers!.typical);
    const point = (share: (value: number) => boolean): number =>
      ranked.curve.find(({ integerShare }) => share(integerShare))!.figures.klNats!;
    const everything = point((share) => share === 1);
    const budget = { maxKl: everything - first!.excessKl! / 2 };
    const seen = reporter();
    const found = await searchPlan({ source, plan }, { ...place, budget }, seen.it);
    const fallen = found.plan.layers.filter(({ reason }) => reason === 'search');
    expect(fallen.map(({ scheme, form }) => [scheme, form])).toEqual([['w8a16', 'MatMulNBits']]);
    expect(isSabotaged(fallen[0]!.name)).toBe(true);
    expect(found.search.chosen?.figures.klNats).toBeLessThanOrEqual(budget.maxKl);
    expect(found.plan.totals.layers.w8a8).toBe(plan.totals.layers.w8a8 - 1);
    // The ranking and half the curve were known already: less than one evaluation per group is run.
    const { done, total } = seen.events.at(-1)!;
    expect(done).toBe(total);
    expect(done).toBeLessThan(4 * ranked.groups.length);
  });

  it('goes on after a kill without running anything again, to the same result', async () => {
    const cacheFolder = join(folder, 'killed');
    const budget = { maxKl: 0.001 };
    const whole = await searchPlan(
      { source, plan },
      { choice, cacheFolder: join(folder, 'whole'), budget },
      reporter().it,
    );
    const killed = reporter(({ done }) => {
      if (done === 30) throw new Error('killed');
    });
    const request = { choice, cacheFolder, budget };
    await expect(searchPlan({ source, plan }, request, killed.it)).rejects.toThrow('killed');
    const [file] = await readdir(cacheFolder);
    const before = JSON.parse(await readFile(join(cacheFolder, file!), 'utf8')).evaluations;
    const resumed = reporter();
    const found = await searchPlan({ source, plan }, request, resumed.it);
    expect(found).toEqual(whole);
    const after = JSON.parse(await readFile(join(cacheFolder, file!), 'utf8')).evaluations;
    const windows = (keys: readonly string[]): number =>
      keys.reduce((sum, key) => sum + (key.startsWith('glance') ? 2 : 4), 0);
    const made = Object.keys(after).filter((key) => !(key in before));
    expect(Object.keys(before).length).toBeGreaterThan(0);
    // And the source once more: its logits lay in the folder of the process that was killed.
    expect(resumed.events.at(-1)?.done).toBe(windows(made) + 4);
    const again = reporter();
    expect(await searchPlan({ source, plan }, request, again.it)).toEqual(whole);
    expect(again.events).toEqual([]);
  });

  it('takes a damaged cache for an empty one', async () => {
    const cacheFolder = join(folder, 'whole');
    const [file] = await readdir(cacheFolder);
    await writeFile(join(cacheFolder, file!), '{"schema": "autoglm.search-cache/1", "evalua');
    const seen = reporter();
    await searchPlan({ source, plan }, { choice, cacheFolder, budget: { maxKl: 1 } }, seen.it);
    // The source, and the artifact as planned.
    expect(seen.events.at(-1)?.done).toBe(8);
  });

  it('names the best that was reached when nothing holds', async () => {
    const request = { choice, cacheFolder: join(folder, 'first'), budget: { maxKl: 1e-12 } };
    const attempt = searchPlan({ source, plan }, request, reporter().it);
    await expect(attempt).rejects.toThrow(GateFailedError);
    await expect(attempt).rejects.toThrow(/got KL 0\.0000\d+,.*expected KL <= 1e-12/);
  });
});
