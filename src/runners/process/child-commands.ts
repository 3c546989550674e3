import { RunnerError } from '../../errors.ts';

/** Commands that a child process answers: name -> what is sent and what comes back. */
export type CommandMap = {
  readonly [name: string]: { readonly input: unknown; readonly output: unknown };
};

/** Sent by the parent. `id` pairs the answer with the question. */
interface CommandMessage {
  readonly id: number;
  readonly command: string;
  readonly input: unknown;
}

/** Sent by the child: a result, or the message of what was thrown. */
export type AnswerMessage =
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly error: string };

/** One function per command; runs in the child. */
type CommandHandlers<C extends CommandMap> = {
  readonly [K in keyof C]: (input: C[K]['input']) => Promise<C[K]['output']>;
};

/**
 * Answers commands from the parent, one at a time and in order, until the parent goes away. Called
 * once, by the entry module of a child process.
 */
export function serveCommands<C extends CommandMap>(handlers: CommandHandlers<C>): void {
  if (process.send === undefined) {
    throw new RunnerError('child process: started without a parent. Use the autoglm command.');
  }
  let turn: Promise<void> = Promise.resolve();
  process.on('message', (message) => {
    turn = turn.then(() => answer(handlers, message as CommandMessage));
  });
  // A runtime blocks this process for seconds at a time; nobody is left to wait for its end.
  process.on('disconnect', () => process.exit(0));
}

async function answer<C extends CommandMap>(
  handlers: CommandHandlers<C>,
  { id, command, input }: CommandMessage,
): Promise<void> {
  let message: AnswerMessage;
  try {
    const handler = handlers[command];
    if (handler === undefined) throw new RunnerError(`child process: no command "${command}".`);
    message = { id, output: await handler(input) };
  } catch (error) {
    message = { id, error: error instanceof Error ? error.message : String(error) };
  }
  await new Promise<void>((resolve) => {
    if (!process.connected) resolve();
    else process.send?.(message, undefined, undefined, () => resolve());
  });
}
