#!/bin/sh
# Prints the SHA-256 of every model file that the fixtures give, one line per file: recipe by recipe, through
# `quantize` and through `export` for both ONNX targets. Run it before and after a change that must not
# change bytes, and compare with diff.
#
#   sh test/artifact-hashes.sh > before.txt          # all exports of all fixtures, half an hour
#   sh test/artifact-hashes.sh quick > before.txt    # a decoder and an image encoder, each form once
#   AUTOGLM=/elsewhere/bin/autoglm.js sh test/artifact-hashes.sh quick
set -eu
cd "$(dirname "$0")/.."
autoglm=${AUTOGLM:-bin/autoglm.js}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exports='glm-nano/* vit-fashion/*'
quick=${1:-}
[ "$quick" = quick ] && exports='glm-nano/optimum vit-fashion/optimum'

# Whether the quick run leaves a verb and recipe out: exports take a check each.
is_left_out() {
  [ "$quick" = quick ] || return 1
  case $1 in
    glm-nano/optimum/*/quantize | */w8a8/tensorrt | glm-nano/optimum/w4a16-g32/onnx) return 1 ;;
    vit-fashion/optimum/w8a8/quantize) return 1 ;;
    *) return 0 ;;
  esac
}

# What a fixture, a recipe and a verb leave, without the records that carry versions and paths.
hash_models() {
  (cd "$2" && find . -type f \( -name '*.onnx*' -o -name '*.cache' -o -name '*.sh' \) | sort | xargs sha256sum) |
    sed "s|  \./|  $1/|"
}

for export in $(cd fixtures && ls -d $exports); do
  case $export in
    */checkpoint | *.json) continue ;;
    glm-nano/*) data=calibration/text ;;
    *) data=calibration/fashion-images ;;
  esac
  model=fixtures/$export
  made=$work/$export
  node "$autoglm" calibrate "$model" --data $data -o "$made/calibration" --quiet > "$work/out"
  calibration=$made/calibration/calibration.json
  for recipe in w8a8 w8a8-full w8a8-dynamic w8a16 w4a16-g32; do
    for verb in quantize onnx tensorrt; do
      is_left_out "$export/$recipe/$verb" && continue
      case $verb in
        quantize) command=quantize ;;
        *) command="export --target $verb" ;;
      esac
      out=$made/$recipe
      # $command is split on purpose.
      if node "$autoglm" $command --data $data --calibration "$calibration" --recipe $recipe -o "$out" --quiet "$model" \
        > "$work/out" 2> "$work/err"; then
        hash_models "$export/$recipe/$verb" "$out"
      else
        echo "refused  $export/$recipe/$verb  $(tail -n 1 "$work/err")"
      fi
      rm -rf "$out"
    done
  done
done
