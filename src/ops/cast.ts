/** Ops that change the element type. */
import { intAttribute } from '../ir/attributes.ts';
import { type DataType, dataTypeFromCode } from '../ir/data-type.ts';
import type { Dim } from '../ir/model.ts';
import { evaluated, type Facts, type OpSpec, UNKNOWN } from './op-spec.ts';
import { castElement, isIntegerType } from './round-to-type.ts';

function castFacts(input: Facts, to: DataType | undefined): Facts {
  if (to === undefined) return { shape: input.shape };
  const elements = input.elements?.map((element): Dim => {
    if (typeof element === 'number') return castElement(input.dataType, to, element);
    // A symbolic dimension stays itself in any integer type; as a float it could round.
    return isIntegerType(to) ? element : undefined;
  });
  return evaluated(to, input.shape, elements);
}

/** `Cast` and `CastLike`. */
export const CAST: readonly OpSpec[] = [
  {
    opType: 'Cast',
    domain: '',
    infer: (node, [input = UNKNOWN]) => {
      const to = intAttribute(node, 'to');
      return [castFacts(input, to === undefined ? undefined : dataTypeFromCode(to))];
    },
  },
  {
    opType: 'CastLike',
    domain: '',
    infer: (_node, [input = UNKNOWN, like = UNKNOWN]) => [castFacts(input, like.dataType)],
  },
];
