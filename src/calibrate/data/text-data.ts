import { open, readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { UsageError } from '../../errors.ts';
import type { SampleList } from '../sample.ts';
import type { TextEncoding } from './tokenizer.ts';

/** Text beyond this is sampled by blocks spread over the files, so memory and time stay bounded. */
export const TEXT_BUDGET: number = 32 << 20;
/** Tokenised at a time; longer pieces would hold up the process for seconds. */
const PIECE_LENGTH = 1 << 18;
const BLOCK_COUNT = 64;

/** How text becomes samples. */
export interface TextSettings {
  readonly encoding: TextEncoding;
  /** Tokens per sample, special tokens included. */
  readonly sequenceLength: number;
  /** Bytes of text to read at most; {@link TEXT_BUDGET} when absent. */
  readonly budget?: number;
}

/**
 * Returns the windows of text files. `.txt` is one long text, cut into windows of exactly
 * `sequenceLength` tokens (the rest is dropped, unless there is nothing else). `.jsonl` has a document
 * per line, `{"text": ...}` or `{"messages": [{"content": ...}]}` (contents joined by a newline; no
 * chat template is applied); documents are never joined, so their last window may be shorter.
 * Every window carries the model's special tokens. Throws {@link UsageError} for a broken line.
 */
export async function openTextData(
  files: readonly string[],
  settings: TextSettings,
): Promise<SampleList> {
  const { encoding, sequenceLength } = settings;
  const room = sequenceLength - encoding.prefix.length - encoding.suffix.length;
  if (room < 1) {
    throw new UsageError(
      `sequenceLength: no room for text beside the special tokens (got ${sequenceLength}, expected more than ${sequenceLength - room}).`,
    );
  }
  const windows: Int32Array[] = [];
  const budget = (settings.budget ?? TEXT_BUDGET) / Math.max(1, files.length);
  for (const file of files) {
    const isLines = extname(file) === '.jsonl';
    for (const block of await readBlocks(file, budget)) {
      const texts = isLines ? documents(block, file) : [block];
      for (const text of texts) windows.push(...cutWindows(encoding, text, room, isLines));
    }
  }
  return {
    count: windows.length,
    async *read(indices) {
      for (const index of indices) {
        const ids = BigInt64Array.from(
          [...encoding.prefix, ...windows[index]!, ...encoding.suffix],
          BigInt,
        );
        yield {
          values: new Map([['input_ids', { dataType: 'int64', dims: [ids.length], data: ids }]]),
        };
      }
    },
  };
}

function cutWindows(
  encoding: TextEncoding,
  text: string,
  room: number,
  keepRest: boolean,
): readonly Int32Array[] {
  const windows: Int32Array[] = [];
  let current = new Int32Array(room);
  let filled = 0;
  for (const piece of pieces(text)) {
    const ids = encoding.encode(piece);
    for (let at = 0; at < ids.length; at++) {
      current[filled++] = ids[at]!;
      if (filled === room) {
        windows.push(current);
        current = new Int32Array(room);
        filled = 0;
      }
    }
  }
  // One token predicts nothing.
  if (filled > 1 && (keepRest || windows.length === 0)) windows.push(current.slice(0, filled));
  return windows;
}

/** Cuts where a line begins with something visible: no tokenizer joins across that. */
function* pieces(text: string): Iterable<string> {
  let start = 0;
  while (text.length - start > PIECE_LENGTH) {
    const lineStart = /\n(?=\S)/g;
    lineStart.lastIndex = start + PIECE_LENGTH;
    const found = lineStart.exec(text);
    const end = found === null ? text.length : found.index + 1;
    yield text.slice(start, end);
    start = end;
  }
  yield text.slice(start);
}

function documents(block: string, file: string): readonly string[] {
  return block
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const text = documentText(line);
      if (text !== undefined) return text;
      throw new UsageError(
        `${file}: a line is not a document (got ${line.slice(0, 60)}, expected {"text": "..."} or {"messages": [{"content": "..."}]}).`,
      );
    });
}

function documentText(line: string): string | undefined {
  let record: { text?: unknown; messages?: unknown };
  try {
    record = JSON.parse(line) as { text?: unknown; messages?: unknown };
  } catch {
    return undefined;
  }
  if (typeof record?.text === 'string') return record.text;
  if (!Array.isArray(record?.messages)) return undefined;
  const contents = record.messages.map((message: { content?: unknown } | null) => message?.content);
  return contents.every((content) => typeof content === 'string') ? contents.join('\n') : undefined;
}

/** The whole file, or blocks of whole lines spread evenly over a file larger than the budget. */
async function readBlocks(path: string, budget: number): Promise<readonly string[]> {
  const { size } = await stat(path);
  if (size <= budget) return [await readFile(path, 'utf8')];
  const blockLength = Math.floor(budget / BLOCK_COUNT);
  const file = await open(path);
  try {
    const blocks: string[] = [];
    for (let block = 0; block < BLOCK_COUNT; block++) {
      const start = Math.floor((block * size) / BLOCK_COUNT);
      const { buffer, bytesRead } = await file.read(
        Buffer.alloc(blockLength),
        0,
        blockLength,
        start,
      );
      const first = start === 0 ? 0 : buffer.indexOf(10) + 1;
      const last = buffer.lastIndexOf(10, bytesRead - 1) + 1;
      if (last > first) blocks.push(buffer.toString('utf8', first, last));
    }
    return blocks;
  } finally {
    await file.close();
  }
}
