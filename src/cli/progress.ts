import cliProgress from 'cli-progress';
import type { ProgressEvent } from '../workflows/progress.ts';

/** Shows progress events; `close` ends the current display (a later update opens a new one). */
export interface ProgressDisplay {
  update(event: ProgressEvent): void;
  close(): void;
}

/** Seconds between two plain lines of the same task. */
const LINE_INTERVAL_SECONDS = 5;

/** Returns a display that draws one bar per task with rate, ETA and memory. */
export function createProgressBars(stream: NodeJS.WritableStream): ProgressDisplay {
  let task = '';
  let startedAt = 0;
  let bar: cliProgress.SingleBar | undefined;
  const close = (): void => {
    bar?.stop();
    bar = undefined;
    task = '';
  };
  // The cursor comes back however the process ends.
  process.once('exit', close);
  return {
    close,
    update(event) {
      if (event.task !== task || bar === undefined) {
        close();
        task = event.task;
        startedAt = Date.now();
        bar = new cliProgress.SingleBar({
          stream,
          format: '{task} [{bar}] {percentage}% {detail}',
          barsize: 24,
          hideCursor: true,
          clearOnComplete: false,
        });
        bar.start(event.total ?? 0, 0, { task: event.task.padEnd(18), detail: '' });
      }
      bar.setTotal(event.total ?? event.done);
      bar.update(event.done, { detail: describe(event, startedAt) });
      if (event.done === event.total) close();
    },
  };
}

/** Returns a display for logs: a line when a task begins, every few seconds, and when it ends. */
export function createProgressLines(print: (line: string) => void): ProgressDisplay {
  let task = '';
  let startedAt = 0;
  let printedAt = 0;
  const close = (): void => {
    task = '';
  };
  return {
    close,
    update(event) {
      const now = Date.now();
      const isNew = event.task !== task;
      if (isNew) {
        task = event.task;
        startedAt = now;
      }
      const isDone = event.done === event.total;
      if (!isNew && !isDone && now - printedAt < LINE_INTERVAL_SECONDS * 1000) return;
      printedAt = now;
      print(`${event.task}: ${describe(event, startedAt)}`);
      if (isDone) close();
    },
  };
}

function describe(event: ProgressEvent, startedAt: number): string {
  const seconds = (Date.now() - startedAt) / 1000;
  const of = event.total === undefined ? '' : `/${amount(event.total, event.unit)}`;
  const parts = [
    `${amount(event.done, event.unit)}${of} ${event.unit === 'bytes' ? '' : event.unit}`,
  ];
  if (seconds > 0.5 && event.done > 0) {
    const rate = event.done / seconds;
    parts.push(`${amount(rate, event.unit, 1)}/s`);
    if (event.total !== undefined && event.done < event.total) {
      parts.push(`ETA ${clock((event.total - event.done) / rate)}`);
    }
  }
  const memory = event.memoryBytes ?? process.memoryUsage.rss();
  parts.push(`${(memory / 1e6).toFixed(0)} MB`);
  return parts.map((part) => part.trim()).join('  ');
}

function amount(value: number, unit: string, digits = 0): string {
  return unit === 'bytes' ? `${(value / 1e6).toFixed(1)} MB` : value.toFixed(digits);
}

function clock(seconds: number): string {
  const whole = Math.ceil(seconds);
  const minutes = Math.floor(whole / 60);
  return `${String(minutes).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`;
}
