import type { Metadata, UnknownFields } from '../../ir/preserved.ts';
import type { DocumentedMessage, EntryMessage, Int64, Message } from './messages.ts';
import { refuse } from './refuse.ts';
import { encodeField, encodeMessage, MESSAGE_FIELDS, type MessageName } from './schema.ts';

/** What most records carry unchanged. */
export interface Documented {
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** Returns doc string, metadata and unknown fields of a message, each only if present. */
export function readDocumented(message: DocumentedMessage, name: MessageName): Documented {
  const entries = message.metadataProps ?? [];
  const metadata = entries.filter((entry) => !hasUnknown(entry));
  // Records have no place for newer fields of an entry: whole, it is an unknown field of its owner.
  const newer = entries
    .filter(hasUnknown)
    .map((entry) =>
      encodeField(metadataField(name), encodeMessage('StringStringEntryProto', entry)),
    );
  return {
    ...(message.docString !== undefined && { docString: message.docString }),
    ...(metadata.length > 0 && {
      metadata: metadata.map(({ key, value }) => ({ key: key ?? '', value: value ?? '' })),
    }),
    ...readUnknown(message, newer),
  };
}

/** Returns the unknown fields of a message, copied, if there are any. */
export function readUnknown(
  message: Message,
  more: UnknownFields = [],
): { readonly unknownFields?: UnknownFields } {
  const fields = [...(message.$unknowns ?? []).map((field) => field.slice()), ...more];
  return fields.length > 0 ? { unknownFields: fields } : {};
}

/** Returns an int64 as a count or size. Throws FormatError when it is negative or passes 2^53. */
export function readSize(value: Int64, where: string): number {
  const number = value.high * 2 ** 32 + (value.low >>> 0);
  if (number < 0 || !Number.isSafeInteger(number)) {
    refuse(where, `the number is out of range (got ${number}, expected 0 to 2^53)`);
  }
  return number;
}

function hasUnknown(message: EntryMessage): boolean {
  return (message.$unknowns?.length ?? 0) > 0;
}

function metadataField(name: MessageName): number {
  const fields = [...(MESSAGE_FIELDS.get(name)?.values() ?? [])];
  return fields.find((field) => field.name === 'metadataProps')?.id ?? 0;
}
