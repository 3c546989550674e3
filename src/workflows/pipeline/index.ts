import type { StageKind } from './stage-kind.ts';

/** All kinds of stages, each after those whose results it may need. A new one is a file and a line here. */
export const STAGES: readonly StageKind[] = [
  { name: 'prune', load: async () => (await import('./prune-stage.ts')).pruneStages },
  { name: 'calibrate', load: async () => (await import('./calibrate-stage.ts')).calibrateStages },
  { name: 'quantize', load: async () => (await import('./quantize-stage.ts')).quantizeStages },
  { name: 'export', load: async () => (await import('./export-stages.ts')).exportStages },
  { name: 'check', load: async () => (await import('./check-stage.ts')).checkStages },
];
