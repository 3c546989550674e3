import { describe, expect, it } from 'vitest';
import { einsumProduct } from '../../src/passes/einsum-product.ts';

const by = (activation: number, constant: number) => ({ activation, constant });

describe('einsumProduct', () => {
  it.each([
    ['bsh,hn->bsn', by(3, 2), false, { kept: 2, summed: 1, isTransposed: false }],
    ['b s h, n h -> b s n', by(3, 2), false, { kept: 2, summed: 1, isTransposed: true }],
    ['abc,cde->abde', by(3, 3), false, { kept: 2, summed: 1, isTransposed: false }],
    ['abcd,cde->abe', by(4, 3), false, { kept: 2, summed: 2, isTransposed: false }],
    ['abcd,ecd->abe', by(4, 3), false, { kept: 2, summed: 2, isTransposed: true }],
    ['hn,bsh->bsn', by(3, 2), true, { kept: 2, summed: 1, isTransposed: false }],
    ['...h,hn->...n', by(4, 2), false, { kept: 3, summed: 1, isTransposed: false }],
    // Without an arrow the output is a, b, n by the alphabet.
    ['abh,hn', by(3, 2), false, { kept: 2, summed: 1, isTransposed: false }],
  ] as const)('reads %s', (equation, ranks, isSwapped, wanted) => {
    expect(einsumProduct(equation, ranks, isSwapped)).toEqual(wanted);
  });

  it.each([
    ['bhk,hkn->bhn', by(3, 3), 'Einsum "bhk,hkn->bhn" is no product with a matrix'],
    ['bsh,hn->bns', by(3, 2), 'Einsum "bsh,hn->bns" is no product with a matrix'],
    ['bhs,hn->bsn', by(3, 2), 'Einsum "bhs,hn->bsn" is no product with a matrix'],
    ['bsh,h->bs', by(3, 1), 'Einsum "bsh,h->bs" is no product with a matrix'],
    ['bss,sn->bn', by(3, 2), 'Einsum "bss,sn->bn" is no product with a matrix'],
    ['bsh,hh->bs', by(3, 2), 'Einsum "bsh,hh->bs" is no product with a matrix'],
    ['bsh,nh->bsnh', by(3, 2), 'Einsum "bsh,nh->bsnh" is no product with a matrix'],
    [
      'abcd,dce->abe',
      by(4, 3),
      'Einsum "abcd,dce->abe" reads the axes of its constant in another order',
    ],
    ['abc,cd->abd', by(4, 2), 'the equation "abc,cd->abd" does not fit its operands'],
    ['abc', by(3, 2), 'the equation "abc" does not fit its operands'],
  ] as const)('says why %s is none', (equation, ranks, reason) => {
    expect(einsumProduct(equation, ranks, false)).toBe(reason);
  });
});
