#!/usr/bin/env bash
# Trains on several GPUs (or, with num_gpu: 0 in the option file, in several processes on the CPU), by torchrun.
#
#   scripts/dist_train.sh GPUS OPTION_FILE [ARGUMENTS of basicsr-ssm train, such as --auto_resume]
#
# One process for each GPU; batch_size_per_gpu is what each of them takes. On several machines run it on each, GPUs being
# those of one machine, with NNODES, NODE_RANK (0, 1, …), MASTER_ADDR (the machine with NODE_RANK 0) and MASTER_PORT set
# in the environment. Runs with whatever `python` is active, or PYTHON.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in
  '' | 0* | *[!0-9]*) sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;/^set/d' >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { echo 'error: which option file?' >&2; exit 2; }
gpus=$1 option_file=$2
shift 2
if [ "${NNODES:-1}" = 1 ]; then
  meeting=(--standalone) # at a free port of this machine
else
  : "${NODE_RANK:?of NNODES=$NNODES machines, which one is this?}" "${MASTER_ADDR:?the machine with NODE_RANK=0}"
  meeting=(--nnodes "$NNODES" --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "${MASTER_PORT:-29500}")
fi
# torchrun's own default, said here so that it does not warn
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" --nproc_per_node "$gpus" \
  "$root/basicsr_ssm/train.py" --launcher pytorch -opt "$option_file" "$@"
