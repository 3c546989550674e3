/** Entry of the child process in which onnxruntime sessions live. */
import type { InferenceSession } from 'onnxruntime-node';
import { RunnerError } from '../../errors.ts';
import { serveCommands } from '../process/child-commands.ts';
import { peakMemoryBytes } from '../process/peak-memory.ts';
import type { SessionCommands } from './session-commands.ts';
import {
  describeValues,
  openSession,
  readProfile,
  runSession,
  timeSession,
  timeSessionsInterleaved,
} from './session-host.ts';

const sessions: InferenceSession[] = [];

serveCommands<SessionCommands>({
  async open(input) {
    const session = await openSession(input);
    sessions.push(session);
    return {
      session: sessions.length - 1,
      inputs: describeValues(session.inputMetadata),
      outputs: describeValues(session.outputMetadata),
    };
  },
  run: async ({ session, feeds, fetches }) => runSession(sessionAt(session), feeds, fetches),
  time: async ({ session, feeds, count }) => timeSession(sessionAt(session), feeds, count),
  timeInterleaved: async ({ a, b, pairs, warmup }) =>
    timeSessionsInterleaved(
      { session: sessionAt(a.session), feeds: a.feeds },
      { session: sessionAt(b.session), feeds: b.feeds },
      pairs,
      warmup,
    ),
  profile: async ({ session, folder }) => readProfile(sessionAt(session), folder),
  memory: async () => peakMemoryBytes(),
});

function sessionAt(index: number): InferenceSession {
  const session = sessions[index];
  if (session === undefined) throw new RunnerError(`no session ${index} in this process.`);
  return session;
}
