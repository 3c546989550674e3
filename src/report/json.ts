import type { CheckResult } from '../check/check-result.ts';

/** Returns the content of `check.json`: two spaces, keys in the order of the schema, a final newline. */
export function renderJson(result: CheckResult): string {
  return `${JSON.stringify(result, undefined, 2)}\n`;
}
