import { UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { ShapeRange, ShapeRanges } from '../shapes.ts';

/** Names of the files that the script reads. */
export interface BuildScriptFiles {
  readonly quantized: string;
  readonly float: string;
  readonly calibrationCache?: string | undefined;
}

/**
 * Returns `build_engine.sh`: bash that builds `model.engine` with trtexec, choosing flags by its
 * version, since precision flags that TensorRT 10 needs are errors in 11. Throws UsageError
 * when an input with unknown dimensions has no shape.
 */
export function buildScript(model: Model, shapes: ShapeRanges, files: BuildScriptFiles): string {
  const profile = shapeFlags(model, shapes);
  const calibration = profile.map((flag) =>
    flag.replace(/^'--(min|opt|max)Shapes=/, "'--$1ShapesCalib="),
  );
  return SCRIPT.replaceAll(/@(\w+)@/g, (_, field: string) => {
    if (field === 'QUANTIZED') return quote(files.quantized);
    if (field === 'FLOAT') return quote(files.float);
    if (field === 'CACHE') return quote(files.calibrationCache ?? '');
    return field === 'SHAPES' ? profile.join(' ') : calibration.join(' ');
  });
}

function shapeFlags(model: Model, shapes: ShapeRanges): readonly string[] {
  const ranges: [string, ShapeRange][] = [];
  for (const { name, type } of model.graph.inputs) {
    if (model.graph.initializers.has(name)) continue;
    const dims = type?.kind === 'tensor' ? type.shape : undefined;
    const isFixed = dims?.every((dim) => typeof dim === 'number') ?? false;
    if (isFixed) continue;
    const range = shapes.get(name);
    if (range === undefined) {
      const got =
        dims === undefined ? 'unknown rank' : `[${dims.map((dim) => dim ?? '?').join(', ')}]`;
      throw new UsageError(
        `input ${name}: TensorRT needs a smallest, usual and largest shape (got ${got}). ` +
          `Say --shape ${name}:MIN..OPT..MAX, each as 1x128.`,
      );
    }
    ranges.push([name, range]);
  }
  if (ranges.length === 0) return [];
  return (['min', 'opt', 'max'] as const).map((bound) => {
    const list = ranges.map(([name, range]) => `${inputName(name)}:${range[bound].join('x')}`);
    return quote(`--${bound}Shapes=${list.join(',')}`);
  });
}

/** trtexec splits at colons and commas, except inside single quotes. */
function inputName(name: string): string {
  return /[:,]/.test(name) ? `'${name}'` : name;
}

/** Input names come from the model file, so nothing in them may reach the shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const SCRIPT = `#!/usr/bin/env bash
# Builds model.engine from the ONNX files beside this script.
#
#   ./build_engine.sh              INT8, from explicit Q/DQ (TensorRT 10 and 11)
#   ./build_engine.sh fp16         the float baseline
#   ./build_engine.sh calibrated   INT8 from calibration.cache (TensorRT up to 10.16)
#
# Further arguments go to trtexec. TRTEXEC names another trtexec.
set -euo pipefail
cd "$(dirname "\${BASH_SOURCE[0]}")"

form=int8
case "\${1:-}" in
  int8 | fp16 | calibrated)
    form=$1
    shift
    ;;
esac

trtexec=\${TRTEXEC:-trtexec}
if ! command -v "$trtexec" >/dev/null 2>&1; then
  echo "build_engine.sh: trtexec not found. Install TensorRT, or set TRTEXEC to its path." >&2
  exit 6
fi

# Prints the version as TensorRT itself does: 101401 for 10.14.1, 8401 for 8.4.1.
tensorrt_number() {
  local text
  text=$("$trtexec" --version 2>&1 || true)
  if [[ $text =~ TensorRT[^0-9]*([0-9]+)\\.([0-9]+)\\.([0-9]+) ]]; then
    local major=\${BASH_REMATCH[1]} rest=$((BASH_REMATCH[2] * 100 + BASH_REMATCH[3]))
    echo $((major * (major < 10 ? 1000 : 10000) + rest))
  elif [[ $text =~ TensorRT\\ v([0-9]+) ]]; then
    echo "\${BASH_REMATCH[1]}"
  else
    echo "build_engine.sh: cannot read the version of $trtexec." >&2
    return 1
  fi
}

number=$(tensorrt_number)
major=$((number / 1000)) minor=$((number / 100 % 10))
if ((number >= 100000)); then
  major=$((number / 10000)) minor=$((number / 100 % 100))
fi
version=$((major * 100 + minor))
shapes=(@SHAPES@)
calibration_shapes=(@CALIBSHAPES@)
model=@QUANTIZED@
engine=model.engine
precision=()

if [[ $form == fp16 ]]; then
  model=@FLOAT@
  engine=model.fp16.engine
fi

if [[ $form == calibrated ]]; then
  cache=@CACHE@
  if [[ -z $cache || ! -f $cache ]]; then
    echo "build_engine.sh: no calibration cache beside this script." >&2
    exit 2
  fi
  if ((version > 1016)); then
    echo "build_engine.sh: TensorRT 11 reads no calibration cache. Build the int8 form." >&2
    exit 5
  fi
  model=@FLOAT@
  engine=model.calibrated.engine
  # trtexec ignores a cache of another version and calibrates on random data, so write its own.
  own=$(mktemp)
  trap 'rm -f "$own"' EXIT
  sed "1s/^TRT-[0-9]*/TRT-$number/" "$cache" >"$own"
  precision=(--fp16 --int8 "--calib=$own" \${calibration_shapes[@]+"\${calibration_shapes[@]}"})
elif ((version < 1000)); then
  echo "build_engine.sh: explicit INT8 needs TensorRT 10 or newer. Build the calibrated form." >&2
  exit 5
elif ((version < 1100)); then
  precision=(--stronglyTyped)
fi

"$trtexec" \\
  "--onnx=$model" \\
  "--saveEngine=$engine" \\
  --timingCacheFile=model.timing.cache \\
  --profilingVerbosity=detailed \\
  --skipInference \\
  \${precision[@]+"\${precision[@]}"} \\
  \${shapes[@]+"\${shapes[@]}"} \\
  "$@"
echo "build_engine.sh: wrote $engine"
`;
