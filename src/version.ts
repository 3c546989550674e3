import { readFileSync } from 'node:fs';

/** Version of autoglm, as its package.json says. Goes into every artifact. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  }
).version;
