import type {
  Accuracy,
  CheckResult,
  DomainAccuracy,
  OutputSimilarity,
  Sizes,
  Top1,
} from '../check/check-result.ts';
import {
  formatBytes,
  formatInterval,
  formatPercent,
  formatPoints,
  formatRatio,
  formatSignificant,
  NOT_MEASURED,
} from './format.ts';

/** One line of the comparison: a figure before, after, and how it changed. Empty where it has no meaning. */
export interface FigureRow {
  readonly name: string;
  readonly source: string;
  readonly artifact: string;
  readonly change: string;
}

/** Returns sizes and accuracy as rows, the same for every kind of report. */
export function figureRows(result: Pick<CheckResult, 'sizes' | 'accuracy'>): readonly FigureRow[] {
  return [...sizeRows(result.sizes), ...accuracyRows(result.accuracy)];
}

function sizeRows({ source, artifact, ratio, peakMemoryRatio }: Sizes): readonly FigureRow[] {
  const memory = (byteLength: number | null): string =>
    byteLength === null ? NOT_MEASURED : formatBytes(byteLength);
  return [
    {
      name: 'Size of all files',
      source: formatBytes(source.byteLength),
      artifact: formatBytes(artifact.byteLength),
      change: formatRatio(ratio),
    },
    {
      name: 'Bits per weight',
      source: formatSignificant(source.bitsPerWeight, 3),
      artifact: formatSignificant(artifact.bitsPerWeight, 3),
      change: '',
    },
    {
      name: 'Peak memory',
      source: memory(source.peakMemoryBytes),
      artifact: memory(artifact.peakMemoryBytes),
      change: peakMemoryRatio === null ? '' : formatRatio(peakMemoryRatio),
    },
  ];
}

function accuracyRows(accuracy: Accuracy | null): readonly FigureRow[] {
  if (accuracy === null) return [];
  const { languageModel, classification, domains, outputs } = accuracy;
  const rows: FigureRow[] = [];
  if (languageModel?.perplexity) {
    const { source, artifact, ratio, ratioInterval } = languageModel.perplexity;
    rows.push({
      name: 'Perplexity',
      source: formatSignificant(source, 5),
      artifact: formatSignificant(artifact, 5),
      change: joined(
        formatRatio(ratio, 5),
        formatInterval(ratioInterval, (v) => v.toFixed(4)),
      ),
    });
  }
  if (languageModel?.top1) rows.push(top1Row('Top-1 of next token', languageModel.top1));
  if (classification?.top1) rows.push(top1Row('Top-1', classification.top1));
  const logits = languageModel ?? classification;
  if (logits !== null) {
    const { agreement, klNats, klP999Nats } = logits;
    const p999 = klP999Nats === null ? '' : `p99.9 ${figure(klP999Nats, 3)}`;
    rows.push(artifactRow('Top-1 agreement', formatPercent(agreement)));
    rows.push(artifactRow('KL divergence, nats', figure(klNats, 3), p999));
  }
  if (domains.length > 0)
    rows.push(artifactRow('By kind of text (positions)', '', 'p99.9, agree, ppl'));
  rows.push(...domains.map(domainRow));
  rows.push(...shown(outputs).flatMap(outputRows));
  return rows;
}

/** The column is narrow: KL of 99.9 %, agreement, perplexity after / before. */
function domainRow(figures: DomainAccuracy): FigureRow {
  const { domain, positions, klNats, klP999Nats, agreement, perplexityRatio } = figures;
  const more = [
    figure(klP999Nats, 2),
    `${(100 * agreement).toFixed(1)} %`,
    ...(perplexityRatio === null ? [] : [`x${perplexityRatio.toFixed(3)}`]),
  ];
  return artifactRow(`KL of ${domain} (${positions})`, figure(klNats, 3), more.join(', '));
}

function outputRows(output: OutputSimilarity): readonly FigureRow[] {
  const { name, cosine, worstSampleCosine, sqnrDb, maxAbsError, rows } = output;
  const worst = worstSampleCosine === null ? '' : `worst sample ${worstSampleCosine.toFixed(6)}`;
  const decibels = (value: number | null): string =>
    maxAbsError === 0 ? 'equal' : figure(value, 3);
  return [
    artifactRow(`Cosine of ${name}`, cosine?.toFixed(6) ?? NOT_MEASURED, worst),
    ...(rows === null
      ? []
      : [
          artifactRow(
            `Row cosine of ${name}`,
            rows.cosine.mean.toFixed(6),
            `worst ${rows.cosine.worst.toFixed(6)}`,
          ),
        ]),
    artifactRow(`SQNR of ${name}, dB`, decibels(sqnrDb)),
    ...(rows === null
      ? []
      : [
          artifactRow(
            `Row SQNR of ${name}, dB`,
            decibels(rows.sqnrDb.mean),
            maxAbsError === 0
              ? ''
              : `p1 ${figure(rows.sqnrDb.p1, 3)}, worst ${figure(rows.sqnrDb.worst, 3)}`,
          ),
        ]),
    artifactRow(`Max error of ${name}`, figure(maxAbsError, 3)),
  ];
}

/** A decoder has dozens of cached keys and values: the worst of them stands for all. */
function shown(outputs: Accuracy['outputs']): Accuracy['outputs'] {
  const most = 3;
  if (outputs.length <= most) return outputs;
  const [first, ...others] = outputs;
  const judged = ({ cosine, rows }: OutputSimilarity): number =>
    Math.min(cosine ?? -1, rows?.cosine.mean ?? 1);
  const lowest = others.reduce((worst, output) =>
    judged(output) < judged(worst) ? output : worst,
  );
  return first === undefined ? [] : [first, lowest];
}

function top1Row(
  name: string,
  { source, artifact, dropPoints, dropPointsInterval }: Top1,
): FigureRow {
  // A change is artifact - source, the drop with its sign turned.
  const gain = dropPointsInterval && {
    low: -dropPointsInterval.high,
    high: -dropPointsInterval.low,
  };
  return {
    name,
    source: formatPercent(source),
    artifact: formatPercent(artifact),
    change: joined(
      formatPoints(-dropPoints),
      formatInterval(gain, (value) => value.toFixed(2)),
    ),
  };
}

function artifactRow(name: string, artifact: string, change = ''): FigureRow {
  return { name, source: '', artifact, change };
}

function figure(value: number | null, digits: number): string {
  return value === null ? NOT_MEASURED : formatSignificant(value, digits);
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}
