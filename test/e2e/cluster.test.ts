import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const autoglm = join(root, 'bin/autoglm.js');
// Six to ten processes, each of which starts onnxruntime.
vi.setConfig({ testTimeout: 180_000 });

const options = ['--samples', '4', '--sequence-length', '32'];

interface Manifest {
  readonly [key: string]: unknown;
}

function manifest(name: string): Manifest {
  return parse(readFileSync(join(root, 'configs/cluster', name), 'utf8')) as Manifest;
}

/** A folder for output, and an environment in which `autoglm` is a command. */
function workplace(): { readonly out: string; readonly env: NodeJS.ProcessEnv } {
  const folder = temporaryFolder();
  const command = join(folder, 'autoglm');
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${autoglm}" "$@"\n`);
  chmodSync(command, 0o755);
  const out = join(folder, 'out');
  return {
    out,
    env: {
      ...process.env,
      PATH: `${folder}:${process.env['PATH']}`,
      MODEL: join(root, 'fixtures/vit-fashion/dynamo-opset18'),
      DATA: join(root, 'calibration/fashion-mnist'),
      OUT: out,
      OPTIONS: '--samples 4',
    },
  };
}

function calibrated(out: string): string {
  return readFileSync(join(out, 'calibration.json'), 'utf8');
}

function singleRun(env: NodeJS.ProcessEnv): string {
  const out = join(temporaryFolder(), 'single');
  const args = ['calibrate', env['MODEL']!, '--data', env['DATA']!, '-o', out, '--quiet'];
  execFileSync(process.execPath, [autoglm, ...args, ...env['OPTIONS']!.split(' ')]);
  return calibrated(out);
}

function shell(script: string, env: NodeJS.ProcessEnv): void {
  execFileSync('sh', ['-ec', script], { env });
}

it('shards of a language model, merged in any order, are byte-equal to a single run', () => {
  const folder = temporaryFolder();
  const model = join(root, 'fixtures/glm-nano/torchscript');
  const run = (out: string, ...shard: string[]): string => {
    const args = ['calibrate', model, '--data', join(root, 'calibration/text'), ...options];
    execFileSync(process.execPath, [autoglm, ...args, ...shard, '-o', out, '--quiet']);
    return join(out, 'calibration.json');
  };
  const single = run(join(folder, 'single'));
  const shards = [2, 0, 1].map((index) =>
    run(join(folder, `shard-${index}`), '--shard', `${index}/3`),
  );
  const merged = join(folder, 'merged');
  execFileSync(process.execPath, [autoglm, 'calibrate', 'merge', ...shards, '-o', merged]);
  expect(calibrated(merged)).toBe(readFileSync(single, 'utf8'));
});

it('the Kubernetes jobs run four shards and join them into what one run gives', () => {
  const { out, env } = workplace();
  const job = manifest('kubernetes.yaml') as {
    spec: { completions: number; completionMode: string; template: PodTemplate };
  };
  const merge = manifest('kubernetes-merge.yaml') as { spec: { template: PodTemplate } };
  expect(job.spec.completionMode).toBe('Indexed');
  const count = job.spec.completions;
  expect(settingOf(job.spec.template, 'SHARDS')).toBe(String(count));
  expect(settingOf(merge.spec.template, 'SHARDS')).toBe(String(count));
  for (let index = 0; index < count; index++) {
    shell(scriptOf(job.spec.template), {
      ...env,
      SHARDS: String(count),
      JOB_COMPLETION_INDEX: String(index),
    });
  }
  shell(scriptOf(merge.spec.template), { ...env, SHARDS: String(count) });
  expect(calibrated(out)).toBe(singleRun(env));
});

interface PodTemplate {
  readonly spec: {
    readonly containers: readonly {
      readonly command: readonly string[];
      readonly args: readonly string[];
      readonly env: readonly { readonly name: string; readonly value: string }[];
    }[];
  };
}

function scriptOf({ spec }: PodTemplate): string {
  const [container] = spec.containers;
  expect(container?.command).toEqual(['sh', '-c']);
  return container?.args[0] ?? '';
}

function settingOf({ spec }: PodTemplate, name: string): string | undefined {
  return spec.containers[0]?.env.find((entry) => entry.name === name)?.value;
}

it('the GitHub Actions matrix names every shard once, and its steps give what one run gives', () => {
  const { out, env } = workplace();
  const workflow = manifest('github-actions.yml') as {
    env: { SHARDS: number };
    jobs: {
      shard: { strategy: { matrix: { shard: number[] } }; steps: Step[] };
      merge: { steps: Step[] };
    };
  };
  const { shard, merge } = workflow.jobs;
  const { SHARDS } = workflow.env;
  expect(shard.strategy.matrix.shard).toEqual(Array.from({ length: SHARDS }, (_, at) => at));
  for (const index of shard.strategy.matrix.shard) {
    shell(commandOf(shard.steps), { ...env, SHARDS: String(SHARDS), SHARD: String(index) });
  }
  shell(commandOf(merge.steps), { ...env, SHARDS: String(SHARDS) });
  expect(calibrated(out)).toBe(singleRun(env));
});

interface Step {
  readonly run?: string;
}

function commandOf(steps: readonly Step[]): string {
  return steps.find(({ run }) => run?.startsWith('autoglm'))?.run ?? 'false';
}
