import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const script = join(root, 'configs/cluster/slurm.sh');
const isCi = process.env['CI'] === 'true';
const isInstalled = ['slurmctld', 'slurmd', 'munged', 'sbatch'].every(
  (name) => spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`]).status === 0,
);
if (!isInstalled && !isCi) {
  console.log('skipped: Slurm is not installed. Debian: apt-get install slurm-wlm munge.');
}

/** A Slurm of one node, in the foreground of this test, with its state in a folder of its own. */
interface Slurm {
  readonly env: NodeJS.ProcessEnv;
  stop(): void;
}

describe.skipIf(!isInstalled && !isCi)('Slurm', () => {
  beforeAll(() => {
    if (isInstalled) return;
    const sudo = userInfo().uid === 0 ? [] : ['sudo', '-n'];
    const install = ['apt-get', 'install', '-y', '--no-install-recommends', 'slurm-wlm', 'munge'];
    const [command = '', ...args] = [...sudo, ...install];
    execFileSync(command, args, { stdio: 'ignore' });
  });

  // Three daemons start on free ports and may lose one to somebody else in between: once more then.
  it('runs an array of shards, one killed and submitted again, whose merge equals one run', {
    retry: 1,
    timeout: 240_000,
  }, async () => {
    const folder = temporaryFolder();
    const out = join(folder, 'out');
    const command = join(folder, 'autoglm');
    writeFileSync(
      command,
      `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'bin/autoglm.js')}" "$@"\n`,
    );
    chmodSync(command, 0o755);
    const slurm = await startSlurm(join(folder, 'slurm'));
    try {
      const env = {
        ...slurm.env,
        AUTOGLM: command,
        MODEL: join(root, 'fixtures/glm-nano/torchscript'),
        DATA: join(root, 'calibration/text'),
        OUT: out,
        OPTIONS: '--samples 4 --sequence-length 32',
        SHARDS: '4',
      };
      const submit = (...args: string[]): string =>
        execFileSync('sbatch', ['--parsable', '--mem=0', `--chdir=${folder}`, ...args], {
          env,
          encoding: 'utf8',
        }).trim();
      const state = (job: string): string =>
        /JobState=(\w+)/.exec(
          execFileSync('scontrol', ['show', 'job', job], { env, encoding: 'utf8' }),
        )?.[1] ?? '';

      const array = submit('--array=0-3', script);
      await until(() => state(`${array}_1`) === 'RUNNING');
      execFileSync('scancel', ['--signal=KILL', '--full', `${array}_1`], { env });
      await until(() => [0, 1, 2, 3].every((task) => isOver(state(`${array}_${task}`))));
      for (const task of [0, 2, 3]) {
        expect(state(`${array}_${task}`), printed(folder)).toBe('COMPLETED');
      }
      expect(state(`${array}_1`)).not.toBe('COMPLETED');
      expect(existsSync(join(out, 'shard-1/calibration.json'))).toBe(false);

      const again = submit('--array=1', script);
      const merge = submit(`--dependency=afterok:${again}`, script, 'merge');
      await until(() => isOver(state(merge)));
      expect(state(merge), printed(folder)).toBe('COMPLETED');

      const single = join(folder, 'single');
      const { MODEL, DATA, OPTIONS } = env;
      const options = ['--data', DATA, '-o', single, '--quiet', ...OPTIONS.split(' ')];
      execFileSync(command, ['calibrate', MODEL, ...options]);
      const read = (at: string): string => readFileSync(join(at, 'calibration.json'), 'utf8');
      expect(read(out)).toBe(read(single));
    } finally {
      slurm.stop();
    }
  });
});

function isOver(state: string): boolean {
  return /^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)$/.test(state);
}

/** What the jobs printed, to explain a failure. */
function printed(folder: string): string {
  const logs = readdirSync(folder).filter((name) => /^slurm-.*\.out$/.test(name));
  return logs.map((name) => `${name}: ${readFileSync(join(folder, name), 'utf8')}`).join('\n');
}

async function until(isTrue: () => boolean): Promise<void> {
  const end = Date.now() + 180_000;
  while (!isTrue()) {
    if (Date.now() > end) throw new Error('Slurm did not get there in three minutes.');
    await sleep(100);
  }
}

async function startSlurm(folder: string): Promise<Slurm> {
  for (const name of ['state', 'spool']) mkdirSync(join(folder, name), { recursive: true });
  chmodSync(folder, 0o755);
  const { username } = userInfo();
  const node = hostname().split('.')[0] ?? '';
  const conf = join(folder, 'slurm.conf');
  const socket = join(folder, 'munge.socket');
  const port = 20_000 + (process.pid % 20_000);
  writeFileSync(
    conf,
    [
      'ClusterName=test',
      `SlurmctldHost=${node}(127.0.0.1)`,
      `SlurmctldPort=${port}`,
      `SlurmdPort=${port + 1}`,
      'AuthType=auth/munge',
      `AuthInfo=socket=${socket}`,
      'CredType=cred/munge',
      `SlurmUser=${username}`,
      `SlurmdUser=${username}`,
      `StateSaveLocation=${folder}/state`,
      `SlurmdSpoolDir=${folder}/spool`,
      `SlurmctldPidFile=${folder}/slurmctld.pid`,
      `SlurmdPidFile=${folder}/slurmd.pid`,
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'JobAcctGatherType=jobacct_gather/none',
      'AccountingStorageType=accounting_storage/none',
      'SwitchType=switch/none',
      'MpiDefault=none',
      'SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000',
      'SelectType=select/cons_tres',
      'SelectTypeParameters=CR_CPU',
      'KillWait=2',
      'ReturnToService=2',
      `NodeName=${node} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN`,
      'PartitionName=main Nodes=ALL Default=YES State=UP',
      '',
    ].join('\n'),
  );
  const key = join(folder, 'munge.key');
  writeFileSync(key, randomBytes(128), { mode: 0o600 });
  const env = { ...process.env, SLURM_CONF: conf, PATH: `${process.env['PATH']}:/usr/sbin` };
  const daemons = [
    ['munged', '--foreground', '--force', `--socket=${socket}`, `--key-file=${key}`].concat(
      ['log', 'pid', 'seed'].map((kind) => `--${kind}-file=${folder}/munge.${kind}`),
    ),
    ['slurmctld', '-D', '-f', conf],
    ['slurmd', '-D', '-f', conf, '-N', node],
  ].map(([command = '', ...args]) => spawn(command, args, { env, stdio: 'ignore' }));
  const stop = (): void => {
    for (const daemon of daemons.toReversed()) daemon.kill('SIGKILL');
  };
  try {
    await until(
      () =>
        spawnSync('sinfo', ['-h', '-o', '%T'], { env, encoding: 'utf8' }).stdout.trim() === 'idle',
    );
  } catch (error) {
    stop();
    throw error;
  }
  return { env, stop };
}
