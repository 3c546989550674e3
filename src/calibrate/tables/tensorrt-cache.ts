import { UsageError } from '../../errors.ts';
import { chooseSymmetricScale, type Range } from '../../numerics/affine.ts';

/** What the first line of a calibration cache says. */
export interface TensorrtCacheOptions {
  /** TensorRT version `major.minor.patch`; another version ignores the cache. */
  readonly version: string;
  /** The calibrator that TensorRT is to believe made it. */
  readonly calibrator?: 'EntropyCalibration2' | 'MinMaxCalibration';
}

/**
 * Returns TensorRT's calibration cache (up to 10.16; NVIDIA ModelOpt reads it too): a header, then
 * `name: <scale>` with the float32 `amax / 127` as 8 hexadecimal digits, the most significant
 * first. It goes with the float model: TensorRT refuses it beside Q/DQ. Throws UsageError for a bad
 * version and for names with a colon, at which readers disagree where the name ends.
 */
export function writeTensorrtCache(
  ranges: ReadonlyMap<string, Range>,
  options: TensorrtCacheOptions,
): string {
  const { version, calibrator = 'EntropyCalibration2' } = options;
  const lines = [...ranges.keys()].sort().map((name) => {
    if (/[:\n\r]/.test(name)) {
      throw new UsageError(
        `${name}: a TensorRT calibration cache cannot hold names with a colon or line break. ` +
          'Rename the tensor in the model, or use the ONNX with Q/DQ instead.',
      );
    }
    const { min, max } = ranges.get(name)!;
    const scale = chooseSymmetricScale(Math.max(Math.abs(min), Math.abs(max)), 127, 'float32');
    return `${name}: ${floatHex(scale)}\n`;
  });
  return `TRT-${versionNumber(version)}-${calibrator}\n${lines.join('')}`;
}

/** TensorRT 10 moved from major * 1000 to major * 10000: 8.4.1 is 8401, 10.3.0 is 100300. */
function versionNumber(version: string): number {
  const match = /^(\d{1,3})\.(\d{1,2})\.(\d{1,2})(?:\.\d+)?$/.exec(version);
  if (match === null) {
    throw new UsageError(
      `TensorRT version "${version}": not a version (expected major.minor.patch such as 10.3.0). ` +
        'Give the version that will build the engine.',
    );
  }
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  return major * (major < 10 ? 1000 : 10000) + minor * 100 + patch;
}

function floatHex(value: number): string {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0).toString(16).padStart(8, '0');
}
