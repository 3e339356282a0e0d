#!/usr/bin/env bash
# Vimeo-90K, as vimeo_septuplet.zip unpacks, into LMDB: scripts/create_lmdb_vimeo90k.sh FOLDER [OUTPUT [options …]]
# The options are those of `basicsr-ssm prepare vimeo90k --help`.
set -euo pipefail
source=${1:?the folder with sequences, sep_trainlist.txt and sep_testlist.txt}
PYTHONPATH=$(dirname "$(dirname "$(realpath "$0")")")${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH  # so that the package need not be installed
exec python -m basicsr_ssm prepare vimeo90k --source "$source" --output "${2:-datasets/vimeo90k}" "${@:3}"
