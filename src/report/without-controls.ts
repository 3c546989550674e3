/**
 * Returns data of the same shape in which no text can move the cursor, colour the screen or turn the
 * writing direction: names come from files. Each run of such characters becomes one space.
 */
export function withoutControls<T>(data: T): T {
  return mapTexts(data, (text) => text.replace(/[\p{Cc}\p{Bidi_Control}]+/gu, ' ')) as T;
}

function mapTexts(data: unknown, change: (text: string) => string): unknown {
  if (typeof data === 'string') return change(data);
  if (Array.isArray(data)) return data.map((item) => mapTexts(item, change));
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [change(key), mapTexts(value, change)]),
  );
}
