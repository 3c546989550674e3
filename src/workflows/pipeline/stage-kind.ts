import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { PipelineConfig } from '../project/pipeline-config.ts';
import type { Stage } from './run-stages.ts';

/** One kind of step of a pipeline, light: what does the work is loaded when a pipeline is made. */
export interface StageKind {
  /** What `--from` calls it. */
  readonly name: string;
  load(): Promise<MakeStages>;
}

/** Returns the stages of a kind that a config asks for: none, one, or one for each target. */
export type MakeStages = (config: PipelineConfig, sources: Sources) => readonly Stage[];

/** The export as it came, which everything is checked against, and what the stages work on. */
export interface Sources {
  readonly origin: ModelOnDisk;
  /** The model that is calibrated and quantized: pruned where the config prunes. Opened when its stage is done. */
  from(): Promise<ModelOnDisk>;
}
