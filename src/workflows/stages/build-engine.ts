import { join, resolve } from 'node:path';
import type { Manifest } from '../../artifact/manifest.ts';
import { runProgram } from '../../runners/process/living-processes.ts';
import { findTrtexec } from '../../runners/tensorrt/trtexec.ts';
import { isFile } from '../../storage/atomic-files.ts';
import { TENSORRT_FILES } from '../../targets/tensorrt/write.ts';
import type { Reporter } from '../progress.ts';

/** Builds `model.engine` where trtexec is installed; says so where it is not. */
export async function buildEngine(
  folder: string,
  reporter: Reporter,
): Promise<{
  files: readonly string[];
  verified: Manifest['verified'];
  notVerified: readonly string[];
}> {
  const trtexec = await findTrtexec();
  if (trtexec === undefined) {
    const reason = 'tensorrt: trtexec is not on this machine, so no engine was built, run or timed';
    return { files: [], verified: [], notVerified: [reason] };
  }
  reporter.note(`building the engine with ${trtexec.path}`);
  // The script works in its own folder, so its path must not be relative to ours.
  const { exitCode, lastLine } = await runProgram(
    'bash',
    [resolve(folder, TENSORRT_FILES.script)],
    { cwd: folder, env: { ...process.env, TRTEXEC: trtexec.path } },
  );
  if (exitCode !== 0 || !(await isFile(join(folder, 'model.engine')))) {
    return {
      files: [],
      verified: [],
      notVerified: [`tensorrt: trtexec ${trtexec.version ?? ''} failed: ${lastLine}`],
    };
  }
  return {
    files: ['model.engine'],
    verified: [
      { runner: `trtexec ${trtexec.version ?? ''}`, device: 'tensorrt', seen: 'engine built' },
    ],
    notVerified: ['tensorrt: the accuracy of the engine was not measured'],
  };
}
