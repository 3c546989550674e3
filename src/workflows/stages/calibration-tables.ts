import { join } from 'node:path';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import {
  writeOnnxruntimeJson,
  writeOnnxruntimeTable,
} from '../../calibrate/tables/onnxruntime-table.ts';
import { writeTensorrtCache } from '../../calibrate/tables/tensorrt-cache.ts';
import type { Range } from '../../numerics/affine.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { CalibrationTables, TableFile } from '../../targets/target.ts';
import type { TableFormat } from '../choices.ts';

/** The last release that reads calibration caches; others ignore a cache with another version. */
const TENSORRT_VERSION = '10.16.0';

/** Returns TensorRT's calibration cache. Throws UsageError for names that it cannot hold. */
function tensorrtCacheFile(calibration: CalibrationFile): TableFile {
  return {
    name: 'calibration.cache',
    content: writeTensorrtCache(symmetricRanges(calibration), {
      version: TENSORRT_VERSION,
      calibrator:
        calibration.options.calibrator === 'minmax' ? 'MinMaxCalibration' : 'EntropyCalibration2',
    }),
  };
}

/** Returns the tables of onnxruntime's TensorRT execution provider. */
function onnxruntimeTableFiles(calibration: CalibrationFile): readonly TableFile[] {
  const ranges = symmetricRanges(calibration);
  return [
    { name: 'calibration.flatbuffers', content: writeOnnxruntimeTable(ranges) },
    { name: 'calibration-table.json', content: writeOnnxruntimeJson(ranges) },
  ];
}

/** Returns the tables of a calibration, without those that cannot hold its names. */
export function calibrationTables(calibration: CalibrationFile): CalibrationTables {
  const hasCache = namesWithColon(calibration).length === 0;
  return {
    tensorrt: hasCache ? tensorrtCacheFile(calibration) : undefined,
    onnxruntime: onnxruntimeTableFiles(calibration),
  };
}

/** Writes the tables of the given formats into a folder. */
export async function writeTables(
  folder: string,
  calibration: CalibrationFile,
  formats: readonly TableFormat[],
): Promise<void> {
  const files = [
    ...(formats.includes('trt') ? [tensorrtCacheFile(calibration)] : []),
    ...(formats.includes('ort') ? onnxruntimeTableFiles(calibration) : []),
  ];
  for (const { name, content } of files) await writeFileAtomic(join(folder, name), content);
}

/** Says which tensor names a calibration cache cannot hold, because they have a colon. */
function namesWithColon(calibration: CalibrationFile): readonly string[] {
  return [...calibration.scales.keys()].filter((name) => name.includes(':')).sort();
}

function symmetricRanges({ scales }: CalibrationFile): ReadonlyMap<string, Range> {
  return new Map([...scales].map(([name, { int8 }]) => [name, int8]));
}
