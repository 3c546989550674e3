/** Shapes that an operation of MIL cannot take; the message is a clause without a full stop. */
export class MilShapeError extends Error {
  override readonly name = 'MilShapeError';
}
