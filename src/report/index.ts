/** Check results as text: each renderer is a pure function of plain data. */
export { renderHtml } from './html.ts';
export { renderJson } from './json.ts';
export { renderJunit } from './junit.ts';
export { renderMarkdown } from './markdown.ts';
export { renderTerminal, type TerminalOptions } from './terminal.ts';
