import { join, resolve } from 'node:path';
import { isFile } from '../../storage/atomic-files.ts';
import type { Compiled, Compiler } from '../compiler.ts';
import { runProgram } from '../process/living-processes.ts';
import { findTrtexec } from './trtexec.ts';

const ENGINE = 'model.engine';

/** Builds `model.engine` by the script of a TensorRT artifact, where trtexec is installed. */
export const trtexecCompiler: Compiler = {
  id: 'trtexec',
  compiles: 'tensorrt',
  compile: compileEngine,
};

async function compileEngine(
  folder: string,
  script: string,
  note: (text: string) => void,
): Promise<Compiled> {
  const trtexec = await findTrtexec();
  if (trtexec === undefined) {
    const reason = 'tensorrt: trtexec is not on this machine, so no engine was built, run or timed';
    return { files: [], verified: [], notVerified: [reason] };
  }
  note(`building the engine with ${trtexec.path}`);
  // The script works in its own folder, so its path must not be relative to ours.
  const { exitCode, lastLine } = await runProgram('bash', [resolve(folder, script)], {
    cwd: folder,
    env: { ...process.env, TRTEXEC: trtexec.path },
  });
  if (exitCode !== 0 || !(await isFile(join(folder, ENGINE)))) {
    return {
      files: [],
      verified: [],
      notVerified: [`tensorrt: trtexec ${trtexec.version ?? ''} failed: ${lastLine}`],
    };
  }
  return {
    files: [ENGINE],
    verified: [
      { runner: `trtexec ${trtexec.version ?? ''}`, device: 'tensorrt', seen: 'engine built' },
    ],
    notVerified: ['tensorrt: the accuracy of the engine was not measured'],
  };
}
