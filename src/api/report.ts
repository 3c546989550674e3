/** Checks: measurements of an artifact against its source, judged by gates, as text of any form. */
export type { CheckResult } from '../check/check-result.ts';
export { parseCheckResult } from '../check/check-result-schema.ts';
export { enforceGates, evaluateGates, type Gates } from '../check/gates.ts';
export {
  renderHtml,
  renderJson,
  renderJunit,
  renderMarkdown,
  renderTerminal,
  type TerminalOptions,
} from '../report/index.ts';
