import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** Folders and files whose tests type commands, start processes of their own, or run whole verbs. */
const E2E = [
  'test/e2e/**/*.test.ts',
  'test/interop/**/*.test.ts',
  'test/situations/**/*.test.ts',
  'test/cli/exit-codes.test.ts',
  'test/cli/output.test.ts',
  'test/workflows/*.test.ts',
  'test/workflows/search/**/*.test.ts',
  'test/workflows/stages/require-possible.test.ts',
  'test/workflows/proof/measure-scenarios.test.ts',
];

const shared: NonNullable<ViteUserConfig['test']> = {
  globalSetup: ['test/global-setup.ts'],
  // For sessions inside the test process; the product's own children set it themselves.
  env: { ORT_DISABLE_TELEMETRY: process.env['ORT_DISABLE_TELEMETRY'] ?? '1' },
};

const config: ViteUserConfig = defineConfig({
  test: {
    // Two cores on the reference machine: more workers only make each other late.
    maxWorkers: 2,
    // Printed by `npm run check`. What runs in child processes is not seen, so it says less than it is.
    coverage: { provider: 'v8', reporter: ['text-summary'], include: ['src/**/*.ts'] },
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: E2E,
          // A hang is told soon. Files that start a real runtime raise it for themselves.
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          ...shared,
          name: 'e2e',
          include: E2E,
          // Tests of the command line start dozens of processes; on busy cores each takes seconds.
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});

export default config;
