import type { Model } from '../../ir/model.ts';
import { saturatesPairs } from '../../runners/onnxruntime/saturation-probe.ts';
import {
  type Saturation,
  saturationWarning,
  summarizeSaturation,
} from '../../targets/onnx/saturation.ts';
import { scanSaturation } from '../../targets/onnx/scan-saturation.ts';

/** What a model's integer products do on other CPUs, and on this one. */
export interface PairScan {
  readonly saturation: Saturation;
  /** One sentence, for a model that gives other numbers on some CPUs. */
  readonly warning: string | undefined;
}

/** Looks at all pairs of INT8 weights of a model; only an unsafe one makes this machine try a product. */
export async function scanPairs(model: Model): Promise<PairScan> {
  const saturation = summarizeSaturation(await scanSaturation(model));
  const isSafe = saturation.unsafeLayers.length === 0;
  const warning = isSafe ? undefined : saturationWarning(saturation, await saturatesPairs());
  return { saturation, warning };
}
