/** An Einsum of an activation and a constant that is a product with a matrix [K, N]. */
export interface EinsumProduct {
  /** Axes of the activation that stay, in front; the others, the last ones, are summed over. */
  readonly kept: number;
  /** Axes of the constant that are summed over. */
  readonly summed: number;
  /** True for a constant with its summed axes last: [N, K]. */
  readonly isTransposed: boolean;
}

/**
 * Returns how an Einsum multiplies an activation of `activationRank` axes with a constant of
 * `constantRank`, the activation first in the equation unless `isSwapped`; or, as words, why it is no product with a
 * matrix. It is one when the last axes of the activation are summed over with all leading or all trailing
 * axes of the constant, and what is left of both follows each other in the output.
 */
export function einsumProduct(
  equation: string,
  ranks: { readonly activation: number; readonly constant: number },
  isSwapped: boolean,
): EinsumProduct | string {
  const terms = readEquation(
    equation,
    isSwapped ? [ranks.constant, ranks.activation] : [ranks.activation, ranks.constant],
  );
  if (terms === undefined) return `the equation "${equation}" does not fit its operands`;
  const [activation, constant] = isSwapped ? [terms.b, terms.a] : [terms.a, terms.b];
  const { output } = terms;
  const summed = activation.filter((label) => constant.includes(label) && !output.includes(label));
  const own = constant.filter((label) => !summed.includes(label));
  const kept = activation.slice(0, activation.length - summed.length);
  const wanted = [...kept, ...own];
  const isPlain =
    summed.length > 0 &&
    kept.length > 0 &&
    own.length > 0 &&
    isSame(activation, [...kept, ...summed]) &&
    isSame(output, wanted) &&
    new Set([...activation, ...own]).size === activation.length + own.length;
  if (!isPlain) return `Einsum "${equation}" is no product with a matrix`;
  if (isSame(constant, [...summed, ...own])) {
    return { kept: kept.length, summed: summed.length, isTransposed: false };
  }
  return isSame(constant, [...own, ...summed])
    ? { kept: kept.length, summed: summed.length, isTransposed: true }
    : `Einsum "${equation}" reads the axes of its constant in another order`;
}

interface Terms {
  readonly a: readonly string[];
  readonly b: readonly string[];
  readonly output: readonly string[];
}

/** Returns the labels of two operands and the output; an ellipsis stands for `.0`, `.1` ... */
function readEquation(equation: string, ranks: readonly number[]): Terms | undefined {
  const [left = '', right] = equation.replaceAll(/\s/g, '').split('->');
  const operands = left.split(',');
  if (operands.length !== 2) return undefined;
  const expanded = operands.map((term, index) => expand(term, ranks[index] ?? 0));
  const [a, b] = expanded;
  if (a === undefined || b === undefined) return undefined;
  const dots = [a, b]
    .map((labels) => labels.filter((label) => label.startsWith('.')))
    .reduce((longer, other) => (other.length > longer.length ? other : longer));
  if (right !== undefined) {
    const output = expandOutput(right, dots);
    return output && { a, b, output };
  }
  // Without an arrow: the ellipsis, then what occurs once, by the alphabet.
  const all = [...a, ...b].filter((label) => !label.startsWith('.'));
  const once = all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort();
  return { a, b, output: [...dots, ...once] };
}

function expand(term: string, rank: number): readonly string[] | undefined {
  const letters = term.replace('...', '');
  if (!/^[A-Za-z]*$/.test(letters)) return undefined;
  const count = rank - letters.length;
  if (!term.includes('...')) return count === 0 ? [...term] : undefined;
  if (count < 0) return undefined;
  // Axes of an ellipsis are matched from the last one.
  const dots = Array.from({ length: count }, (_, index) => `.${count - 1 - index}`);
  return expandOutput(term, dots);
}

function expandOutput(term: string, dots: readonly string[]): readonly string[] | undefined {
  const [before = '', after] = term.split('...');
  if (!/^[A-Za-z]*$/.test(before) || !/^[A-Za-z]*$/.test(after ?? '')) return undefined;
  return after === undefined ? [...before] : [...before, ...dots, ...after];
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((label, index) => label === b[index]);
}
