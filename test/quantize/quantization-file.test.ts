import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import {
  parseQuantizationFile,
  quantizationFile,
  serializeQuantizationFile,
} from '../../src/quantize/quantization-file.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { LINEAR_ROLES } from '../../src/structure/linear-layer.ts';
import { linearModel, ranges } from '../kit/models.ts';

const source = linearModel({ op: 'Gemm', rank: 2, bias: true });
const seen = ranges({ z: [-254, 127], x: [-1, 0.5] });
const plan = planQuantization(source, parseRecipe('{ name: all, head: w8a8 }', 'test'), seen);
const file = quantizationFile(plan, seen, 'abc');

describe('quantization.json', () => {
  it('comes back from its text as it was', () => {
    expect(parseQuantizationFile(serializeQuantizationFile(file), 'q.json')).toEqual(file);
  });

  it('reads back a layer of every role that recognition gives', () => {
    for (const role of LINEAR_ROLES) {
      const layers = plan.layers.map((layer) => ({ ...layer, role }));
      const written = serializeQuantizationFile({ ...file, plan: { ...plan, layers } });
      expect(parseQuantizationFile(written, 'q.json').plan.layers[0]!.role).toBe(role);
    }
  });

  it('holds the symmetric scale of every calibrated value, sorted by name', () => {
    expect(Object.keys(file.scaleTable)).toEqual(['x', 'z']);
    expect(file.scaleTable['z']).toEqual({
      min: -254,
      max: 127,
      calibrator: 'minmax',
      symmetricScale: 2,
    });
  });

  it('leaves out values that calibration never reached, whose range is 0..0 or none', () => {
    const unfit = 'calibration never reached it';
    const nothing = { min: Infinity, max: -Infinity, calibrator: 'minmax', unfit } as const;
    const written = quantizationFile(plan, new Map([...seen, ['idle', nothing]]), 'abc');
    expect(written).toEqual(file);
    expect(parseQuantizationFile(serializeQuantizationFile(written), 'q.json')).toEqual(file);
  });

  it('refuses text that is not JSON, other versions and damaged plans, naming the place', () => {
    expect(() => parseQuantizationFile('{', 'q.json')).toThrow(FormatError);
    const other = JSON.stringify({ ...file, version: 3 });
    expect(() => parseQuantizationFile(other, 'q.json')).toThrow(/q\.json: .*version/);
    const odd = JSON.stringify(file).replace('"bytesAfter":', '"blockSize":7,"bytesAfter":');
    expect(() => parseQuantizationFile(odd, 'q.json')).toThrow(/weight\.blockSize/);
    const damaged = JSON.stringify(file).replace('"zeroPoint":', '"zeropoint":');
    expect(() => parseQuantizationFile(damaged, 'q.json')).toThrow(/plan\.layers\.0\.activation/);
  });
});
