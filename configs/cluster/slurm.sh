#!/bin/sh
# Calibration as a Slurm job array: every task takes every n-th sample.
#
#   export MODEL=model.onnx DATA=calibration/text OUT=out SHARDS=4
#   job=$(sbatch --parsable --array=0-3 configs/cluster/slurm.sh)
#   sbatch --dependency="afterok:$job" configs/cluster/slurm.sh merge
#
# A task that failed left no file: submit its number again (--array=2), then merge.
#SBATCH --job-name=autoglm-calibrate
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --requeue
set -eu
: "${MODEL:?the .onnx file or its folder}" "${DATA:?the calibration set}" "${OUT:?the output folder}"
: "${SHARDS:?the number of shards, also when only some are submitted}"
AUTOGLM=${AUTOGLM:-autoglm}

if [ "${1:-}" = merge ]; then
  # Named one by one: a shard that is missing is an error, not a smaller data set.
  set -- $(seq -f "$OUT/shard-%g/calibration.json" 0 $((SHARDS - 1)))
  exec "$AUTOGLM" calibrate merge "$@" -o "$OUT" --force --quiet
fi

shard=$SLURM_ARRAY_TASK_ID
[ -e "$OUT/shard-$shard/calibration.json" ] && exit 0
exec "$AUTOGLM" calibrate "$MODEL" --data "$DATA" --shard "$shard/$SHARDS" \
  -o "$OUT/shard-$shard" ${OPTIONS:-} --quiet
