import { defineConfig, type ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // For sessions inside the test process; the product's own children set it themselves.
    env: { ORT_DISABLE_TELEMETRY: process.env['ORT_DISABLE_TELEMETRY'] ?? '1' },
    // Tests of the command line start dozens of processes; on busy cores each takes seconds.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    // Two cores on the reference machine: more workers only make each other late.
    maxWorkers: 2,
  },
});

export default config;
