import type { CheckResult, GateResult } from '../check/check-result.ts';
import { escapeMarkup } from './escape-markup.ts';
import { figureRows } from './figure-rows.ts';
import { formatInterval, formatRatio } from './format.ts';

/**
 * Returns a JUnit XML document: one test suite for the check, one test case per gate, the figures as
 * properties. A failed gate is a `failure`, never an `error`: the tool worked, the model did not pass.
 */
export function renderJunit(result: CheckResult): string {
  const { gates, artifact, source } = result;
  const failures = gates.filter(({ passed }) => !passed).length;
  const counts = `tests="${gates.length}" failures="${failures}" errors="0" skipped="0"`;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="autoglm" ${counts}>`,
    `  <testsuite name="${escapeMarkup(`${artifact.file} against ${source.file}`)}" ${counts}>`,
    '    <properties>',
    ...propertiesOf(result).map(
      ([name, value]) =>
        `      <property name="${escapeMarkup(name)}" value="${escapeMarkup(value)}"/>`,
    ),
    '    </properties>',
    ...gates.flatMap(testCase),
    '  </testsuite>',
    '</testsuites>',
  ];
  return `${lines.join('\n')}\n`;
}

function testCase({ gate, limit, text, passed }: GateResult): readonly string[] {
  const open = `    <testcase classname="autoglm.check" name="${escapeMarkup(`${gate} ${limit}`)}"`;
  if (passed) return [`${open}/>`];
  const message = escapeMarkup(text);
  return [
    `${open}>`,
    `      <failure type="gate" message="${message}">${message}</failure>`,
    '    </testcase>',
  ];
}

function propertiesOf(result: CheckResult): readonly (readonly [string, string])[] {
  const { device, runtime, source, artifact, data, latency, notVerified, warnings } = result;
  return [
    ['device', `${device.id}: ${device.name}`],
    ['runtime', runtime.runner],
    ['cpu', [runtime.cpu, ...runtime.instructionSets].join(' ')],
    ['autoglm', runtime.autoglm],
    ['source.sha256', source.sha256],
    ['artifact.sha256', artifact.sha256],
    ...(data === null ? [] : [['data.sha256', data.sha256] as const]),
    ...figureRows(result).map((row) => {
      const parts = [row.source, row.artifact, row.change].filter((part) => part !== '');
      return [row.name, parts.join(' | ')] as const;
    }),
    ...latency.map(({ scenario, speedup, speedupInterval, verdict }) => {
      const figure = `${formatRatio(speedup)} ${formatInterval(speedupInterval)} ${verdict}`;
      return [`Speedup of ${scenario}`, figure] as const;
    }),
    ...notVerified.map((text) => ['not verified on', text] as const),
    ...warnings.map((text) => ['warning', text] as const),
  ];
}
