/** One column of a table: its heading, and whether its cells are figures. */
export interface Column {
  readonly heading: string;
  readonly align?: 'left' | 'right';
}

/** Returns rows under headings, columns as wide as their widest cell and two spaces apart. */
export function renderColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ heading }, index) =>
    Math.max(heading.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? '';
        const width = widths[index] ?? 0;
        return align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ heading }) => heading)), ...rows.map(line)].join('\n');
}
