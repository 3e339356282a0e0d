#!/usr/bin/env bash
# REDS, as its owners' archives unpack, into LMDB: scripts/create_lmdb_reds.sh REDS_FOLDER [OUTPUT [options …]]
# The options are those of `basicsr-ssm prepare reds --help`.
set -euo pipefail
source=${1:?the folder with train_sharp, train_sharp_bicubic, val_sharp and val_sharp_bicubic}
PYTHONPATH=$(dirname "$(dirname "$(realpath "$0")")")${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH  # so that the package need not be installed
exec python -m basicsr_ssm prepare reds --source "$source" --output "${2:-datasets/reds}" "${@:3}"
