import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderTerminal } from '../../src/report/terminal.ts';
import { HOSTILE_CHECK, SAMPLE_CHECK } from './sample-check.ts';

const ESCAPE = '\u001b';

describe('renderTerminal', () => {
  it('draws figures, latency and gates in fixed columns', () => {
    const text = renderTerminal(SAMPLE_CHECK);
    expect(text.slice(text.indexOf('Latency'))).toMatchInlineSnapshot(`
      "Latency of prefill 128 on cpu: milliseconds end to end, 237 interleaved pairs
                                   min    mean     p50     p90     p99     max      CV
      float32 twin                3.99    4.28    4.20    4.62    5.46    6.30   3.1 %
      artifact                    1.47    1.58    1.55    1.71    2.02    2.33   3.1 %
      Speedup 2.71x [2.63, 2.80] (95 %): faster
      30,476 -> 82,581 tokens/s

      Time by kernel of prefill 128: one run by onnxruntime's profile
                                         float32 twin               artifact
                                     ms  share  calls       ms  share  calls
      MatMulIntegerToFloat                               0.900   60 %     36
      other                       0.800   20 %    210    0.450   30 %    246
      MatMul, Gemm (float)         3.20   80 %     49    0.150   10 %     13
      all kernels                  4.00           259     1.50           295

      Fusion        11 of 12 planned layers run as integer kernels: 11
                    MatMulIntegerToFloat
                    model.layers.0.mlp.down_proj: ran as a float MatMul: the weight is
                    widened in every run
      INT8 pairs    worst 131 of 128: 1 of 12 products saturate on x86 without VNNI,
                    in 0.0061 % of pairs

      Gates                               measured           limit
        pass  maxTop1Drop                   0.14pt        <= 0.5pt
        FAIL  minSpeedup                   2.7097x           >= 3x
      minSpeedup: the speedup is 2.7097x (expected >= 3x, prefill 128).

      Not verified  on tensorrt: no GPU on this machine
      Warning       fusion: 1 of 12 planned layers run in float:
                    model.layers.0.mlp.down_proj."
    `);
  });

  it('shows both sides and the change of every figure', () => {
    const lines = renderTerminal(SAMPLE_CHECK).split('\n');
    const row = (name: string): string | undefined => lines.find((line) => line.startsWith(name));
    expect(row('Perplexity')).toMatch(/5\.2134 +5\.2210 +1\.0015x \[1\.0003, 1\.0027\]$/);
    expect(row('Top-1 of next')).toMatch(/61\.24 % +61\.10 % +-0\.14 pt \[-0\.30, 0\.02\]$/);
    expect(row('Size of all')).toMatch(/3\.81 MB +2\.02 MB +0\.530x$/);
  });

  it.each([60, 80, 120])('stays within %i columns', (width) => {
    const lines = renderTerminal(SAMPLE_CHECK, { width }).split('\n');
    expect(lines.filter((line) => line.length > width)).toEqual([]);
    expect(lines.filter((line) => line !== line.trimEnd())).toEqual([]);
  });

  it('uses colour only when asked, and the text is the same', () => {
    const plain = renderTerminal(SAMPLE_CHECK);
    const colored = renderTerminal(SAMPLE_CHECK, { color: true });
    expect(plain).not.toContain(ESCAPE);
    expect(colored).toContain(`${ESCAPE}[31mFAIL${ESCAPE}[0m`);
    expect(stripVTControlCharacters(colored)).toBe(plain);
  });

  it('lets no control character of a file name reach the terminal', () => {
    const text = renderTerminal({
      ...HOSTILE_CHECK,
      artifact: { ...HOSTILE_CHECK.artifact, file: `${ESCAPE}[2Jgone\u0007.onnx` },
    });
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('says that nothing was measured instead of showing figures', () => {
    const text = renderTerminal({
      ...SAMPLE_CHECK,
      accuracy: null,
      data: null,
      latency: [],
      kernelTimes: null,
      fusion: null,
      gates: [],
      notVerified: [],
      warnings: [],
    });
    expect(text).toContain('Data          none, accuracy was not measured');
    expect(text).not.toContain('Perplexity');
    expect(text).not.toContain('Gates');
  });

  it('stands for the many caches of a decoder by the worst of them', () => {
    const [logits] = SAMPLE_CHECK.accuracy!.outputs;
    const caches = [0.9999, 0.5, 0.9998].map((cosine, layer) => ({
      ...logits!,
      name: `present.${layer}.key`,
      cosine,
    }));
    const accuracy = { ...SAMPLE_CHECK.accuracy!, outputs: [logits!, ...caches] };
    const text = renderTerminal({ ...SAMPLE_CHECK, accuracy });
    expect(text).toContain('Cosine of logits');
    expect(text).toContain('Cosine of present.1.key');
    expect(text).not.toContain('present.0.key');
  });
});
