import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { TARGETS } from '../targets/index.ts';

/** What is used of the JSON Schema of a target's setting. */
interface Setting {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
}

/**
 * Adds a flag for each setting of each target, described as the target describes it. Throws an Error when two
 * of them, or one and an option of the verb, have the same name.
 */
export function addTargetOptions(command: Command): Command {
  for (const { id, options } of TARGETS) {
    for (const [key, setting] of Object.entries(settingsOf(options))) {
      command.addOption(optionOf(key, setting, id));
    }
  }
  return command;
}

/** Returns those of the options that belong to targets. */
export function targetOptions(
  options: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const keys = TARGETS.flatMap((target) => Object.keys(settingsOf(target.options)));
  return Object.fromEntries(Object.entries(options).filter(([key]) => keys.includes(key)));
}

function settingsOf(options: z.ZodObject): Readonly<Record<string, Setting>> {
  const { properties = {} } = z.toJSONSchema(options, { io: 'input' });
  return properties as Readonly<Record<string, Setting>>;
}

function optionOf(key: string, setting: Setting, target: string): Option {
  const { type, description = '', enum: choices } = setting;
  const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const fallback = setting.default === undefined ? '' : ` (default: ${String(setting.default)})`;
  const says = `${target}: ${description}${fallback}`;
  if (type === 'boolean') return new Option(flag, says);
  if (type === 'array') return new Option(`${flag} <value...>`, says);
  if (choices !== undefined) return new Option(`${flag} <choice>`, says).choices(choices);
  if (type !== 'integer' && type !== 'number') return new Option(`${flag} <value>`, says);
  return new Option(`${flag} <number>`, says).argParser(parseNumber);
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('Expected a number.');
  }
  return value;
}
