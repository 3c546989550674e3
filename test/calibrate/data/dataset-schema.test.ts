import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { datasetSchema } from '../../../src/calibrate/data/dataset-schema.ts';

describe('the grammar of dataset.yaml', () => {
  it('becomes a JSON Schema with a branch per kind, each key described', () => {
    const schema = z.toJSONSchema(datasetSchema, { io: 'input' });
    const branches = schema.oneOf ?? schema.anyOf ?? [];
    const kinds = branches.map((branch) => {
      const { kind, files } = (branch as z.core.JSONSchema.ObjectSchema).properties ?? {};
      expect((files as z.core.JSONSchema.ArraySchema).description).toMatch(/calibration/);
      return (kind as z.core.JSONSchema.StringSchema).const;
    });
    expect(kinds).toEqual(['text', 'images', 'tensors']);
  });
});
