import type { CalibrateResult } from '../artifact/results.ts';
import { renderColumns } from './columns.ts';
import { formatCount, formatSignificant } from './format.ts';
import { withoutControls } from './without-controls.ts';

type Tensor = CalibrateResult['tensors'][number];

/** Rows of the table that a terminal shows; the file and `--json` have all. */
const SHOWN = 12;

/** Returns the scale table as text, the widest ranges first. */
export function renderCalibration(result: CalibrateResult): string {
  const { path, samples, calibrator, tensors } = withoutControls(result);
  if (path === null) return `Would calibrate on ${samples} samples with ${calibrator}.`;
  const width = ({ min, max }: Tensor): number => Math.max(-(min ?? 0), max ?? 0);
  const widest = [...tensors].sort((a, b) => width(b) - width(a)).slice(0, SHOWN);
  const table = renderColumns(
    [
      { heading: 'tensor' },
      { heading: 'min', align: 'right' },
      { heading: 'max', align: 'right' },
      { heading: 'int8 scale', align: 'right' },
      { heading: 'uint8 scale', align: 'right' },
      { heading: 'zero', align: 'right' },
      { heading: 'method' },
    ],
    widest.map((tensor) => [
      tensor.name.length > 40 ? `...${tensor.name.slice(-37)}` : tensor.name,
      figure(tensor.min),
      figure(tensor.max),
      figure(tensor.int8Scale),
      figure(tensor.uint8Scale),
      String(tensor.uint8ZeroPoint ?? '-'),
      tensor.method ?? '-',
    ]),
  );
  const rest = tensors.length > SHOWN ? `\n... and ${tensors.length - SHOWN} more` : '';
  const summary = `${formatCount(tensors.length)} tensors, ${samples} samples, ${calibrator}: ${path}`;
  return [`${table}${rest}`, summary, ...neverReached(tensors)].join('\n\n');
}

function figure(value: number | null): string {
  return value === null ? '-' : formatSignificant(value, 4);
}

/** Last, where nobody overlooks it. */
function neverReached(tensors: readonly Tensor[]): readonly string[] {
  const names = tensors.filter(({ int8Scale }) => int8Scale === null).map(({ name }) => name);
  if (names.length === 0) return [];
  const rest = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  return [
    `Warning  ${names.slice(0, SHOWN).join(', ')}${rest}: the samples never reached it, or left it at zero.`,
  ];
}
