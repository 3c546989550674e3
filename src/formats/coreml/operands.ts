import type { MilTensorType } from './mil.ts';

/** The operands of one operation, as inference sees them. */
export interface Operands {
  readonly type: string;
  /** Throws an Error when the operand is missing. */
  typeOf(parameter: string): MilTensorType;
  listOf(parameter: string): readonly MilTensorType[];
  /** Elements of an operand that is a constant in place. */
  numbers(parameter: string): readonly number[] | undefined;
  text(parameter: string): string | undefined;
}

/** Types of the outputs of one operator. Throws an Error that says what does not fit. */
export type Rule = (o: Operands) => readonly MilTensorType[];
