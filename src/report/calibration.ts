import type { CalibrateResult } from '../workflows/calibrate.ts';
import { renderColumns } from './columns.ts';
import { formatCount, formatSignificant } from './format.ts';
import { withoutControls } from './without-controls.ts';

/** Rows of the table that a terminal shows; the file and `--json` have all. */
const SHOWN = 12;

/** Returns the scale table as text, the widest ranges first. */
export function renderCalibration(result: CalibrateResult): string {
  const { path, samples, calibrator, tensors } = withoutControls(result);
  if (path === null) return `Would calibrate on ${samples} samples with ${calibrator}.`;
  const width = ({ min, max }: { min: number; max: number }): number => Math.max(-min, max);
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
      formatSignificant(tensor.min, 4),
      formatSignificant(tensor.max, 4),
      formatSignificant(tensor.int8Scale, 4),
      formatSignificant(tensor.uint8Scale, 4),
      String(tensor.uint8ZeroPoint),
      tensor.method,
    ]),
  );
  const rest = tensors.length > SHOWN ? `\n... and ${tensors.length - SHOWN} more` : '';
  return `${table}${rest}\n\n${formatCount(tensors.length)} tensors, ${samples} samples, ${calibrator}: ${path}`;
}
