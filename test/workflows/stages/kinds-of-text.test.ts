import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCalibration } from '../../../src/calibrate/calibration-file.ts';
import type { PlannedLayer } from '../../../src/quantize/quantization-plan.ts';
import { quantize } from '../../../src/workflows/quantize.ts';
import { oneKindWarnings } from '../../../src/workflows/stages/kinds-of-text.ts';
import { model, node, value } from '../../kit/models.ts';
import { root } from '../../kit/paths.ts';
import { listeningReporter } from '../../kit/reporters.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

const reading = (input: string) =>
  model({
    nodes: [node('Identity', [input], 'y')],
    inputs: [value(input, 'int64', ['n'])],
    outputs: [value('y', 'int64', ['n'])],
  });
const ranged = { layers: [{ activation: { min: -1, max: 1 } } as PlannedLayer] };
const calibrated = (domains?: readonly string[]) => ({
  data: { sha256: 'b'.repeat(64), ...(domains && { domains }) },
});

describe('oneKindWarnings', () => {
  it('names the only kind of text, or says that nobody named any.', () => {
    const tokens = reading('input_ids');
    expect(oneKindWarnings(tokens, ranged, calibrated(['english']))).toEqual([
      expect.stringMatching(/^calibration data are of one domain \(english\): /),
    ]);
    expect(oneKindWarnings(tokens, ranged, calibrated())).toEqual([
      expect.stringMatching(/^calibration data name no domains: /),
    ]);
  });

  it('is silent with two kinds, without ranges, without a calibration, and for models of other inputs.', () => {
    const tokens = reading('input_ids');
    const float = { layers: [{} as PlannedLayer] };
    expect(oneKindWarnings(tokens, ranged, calibrated(['english', 'c']))).toEqual([]);
    expect(oneKindWarnings(tokens, float, calibrated(['english']))).toEqual([]);
    expect(oneKindWarnings(tokens, ranged, undefined)).toEqual([]);
    expect(oneKindWarnings(reading('pixel_values'), ranged, calibrated())).toEqual([]);
  });
});

describe('quantize', () => {
  const glm = join(root, 'fixtures/glm-nano/optimum');
  const quantized = async (data: string, samples: number) => {
    const output = join(temporaryFolder(), 'out');
    const options = { model: glm, recipe: 'w8a8', samples, sequenceLength: 32, output };
    const result = await quantize(
      { ...options, data: join(root, 'calibration', data) },
      listeningReporter(),
    );
    const path = join(output, 'calibration.json');
    return { result, calibration: parseCalibration(readFileSync(path, 'utf8'), path) };
  };

  it('warns of text whose kinds nobody named, in its result and in the manifest.', async () => {
    const { result, calibration } = await quantized('text', 1);
    const warning = expect.stringMatching('data name no domains');
    expect(calibration.data.domains).toBeUndefined();
    expect(result.warnings).toContainEqual(warning);
    expect(result.manifest?.notes).toContainEqual(warning);
  });

  it('records the kinds that calibration read, and says nothing of them when they are many.', async () => {
    const { result, calibration } = await quantized('mixed', 9);
    expect(calibration.data.domains).toEqual([
      ...['english', 'docs', 'chinese', 'python', 'c', 'typescript', 'dialogue', 'json', 'gui'],
    ]);
    expect(result.warnings.join()).not.toMatch('domain');
  });
});
