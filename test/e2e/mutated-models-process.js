/** A child of mutated-models.test.ts: the command line, without a process for each command. */

import { main } from '../../dist/cli/main.js';
import { serveCommands } from '../../dist/runners/process/child-commands.js';

const write = { stdout: process.stdout.write, stderr: process.stderr.write };

serveCommands({
  run: async (args) => {
    let said = '';
    process.stdout.write = () => true;
    process.stderr.write = (text) => {
      said += text;
      return true;
    };
    const before = process.cpuUsage();
    try {
      const code = await main(args);
      const { user, system } = process.cpuUsage(before);
      return { code, stderr: said, cpuSeconds: (user + system) / 1e6 };
    } finally {
      process.stdout.write = write.stdout;
      process.stderr.write = write.stderr;
      process.exitCode = undefined;
    }
  },
});
