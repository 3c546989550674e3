import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** `npm run bench`: one file after the other, so that nothing is timed against its neighbour. */
const config: ViteUserConfig = defineConfig({
  test: {
    root: fileURLToPath(new URL('../..', import.meta.url)),
    include: ['test/bench/**/*.bench.ts'],
    globalSetup: ['test/global-setup.ts'],
    // For sessions inside the test process; the product's own children set it themselves.
    env: { ORT_DISABLE_TELEMETRY: process.env['ORT_DISABLE_TELEMETRY'] ?? '1' },
    testTimeout: 600_000,
    fileParallelism: false,
    maxWorkers: 1,
    // The tables are the point: they are printed as they come.
    disableConsoleIntercept: true,
  },
});

export default config;
