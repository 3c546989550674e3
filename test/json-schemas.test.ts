import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { calibrationJsonSchema } from '../src/calibrate/calibration-file.ts';
import { datasetJsonSchema } from '../src/calibrate/data/dataset-schema.ts';
import { checkResultJsonSchema } from '../src/check/check-result-schema.ts';
import { recipeJsonSchema } from '../src/recipe/recipe.ts';
import { pipelineJsonSchema } from '../src/workflows/project/pipeline-config.ts';
import { root } from './kit/paths.ts';

const SCHEMAS = {
  autoglm: pipelineJsonSchema(),
  calibration: calibrationJsonSchema(),
  check: checkResultJsonSchema(),
  dataset: datasetJsonSchema(),
  recipe: recipeJsonSchema(),
};

describe('configs/schema', () => {
  it.each(Object.entries(SCHEMAS))(
    '%s.schema.json is the schema of the code (vitest -u rewrites it)',
    async (name, schema) => {
      const text = `${JSON.stringify(schema, null, 2)}\n`;
      await expect(text).toMatchFileSnapshot(`../configs/schema/${name}.schema.json`);
    },
  );

  it('holds these schemas and no others', () => {
    const names = Object.keys(SCHEMAS).map((name) => `${name}.schema.json`);
    expect(readdirSync(`${root}configs/schema`).sort()).toEqual(names);
  });

  it('every property of a config that a person writes is described', () => {
    const bare: string[] = [];
    const visit = (name: string, node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      const { properties, anyOf, oneOf } = node as Record<string, Record<string, unknown>>;
      for (const choice of Object.values({ ...anyOf, ...oneOf })) visit(name, choice);
      for (const [key, value] of Object.entries(properties ?? {})) {
        const { description, properties: inner } = value as Record<string, unknown>;
        if (description === undefined && inner === undefined) bare.push(`${name}.${key}`);
        visit(`${name}.${key}`, value);
      }
    };
    visit('autoglm', SCHEMAS.autoglm);
    expect(bare).toEqual([]);
  });

  it.each([
    ['autoglm', 'configs/autoglm.yaml', true],
    ['recipe', 'configs/recipes/w8a8.yaml', true],
    ['dataset', 'calibration/text/dataset.yaml', true],
    ['dataset', 'calibration/fashion-mnist/dataset.yaml', true],
    ['recipe', 'configs/autoglm.yaml', false],
    ['dataset', 'configs/recipes/w8a8.yaml', false],
  ] as const)('the %s schema, read back as JSON Schema, judges %s: %s', (name, file, isValid) => {
    const document: unknown = parse(readFileSync(`${root}${file}`, 'utf8'));
    const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(SCHEMAS[name])));
    expect(schema.safeParse(document).success).toBe(isValid);
  });
});
