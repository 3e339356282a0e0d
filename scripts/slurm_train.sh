#!/usr/bin/env bash
# An example of a SLURM job: two machines with four GPUs each, one task for each GPU. Submit it from the checkout:
#
#   sbatch scripts/slurm_train.sh OPTION_FILE [ARGUMENTS of basicsr-ssm train]
#
# Options of sbatch before the script's name overrule those below (--nodes=1 --time=2:00:00). When the job is requeued
# after its time or a failure, it goes on from its newest checkpoint; the first time, from path.resume_state if given.
#SBATCH --job-name=basicsr_ssm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^#SBATCH/p' "$0" | sed 's/^# \{0,1\}//;/^SBATCH/d' >&2; exit 2; }
option_file=$1
shift
cd "${SLURM_SUBMIT_DIR:-.}" # SLURM runs a copy of this file, from elsewhere
# the first failed task ends the others, which would wait for it
exec srun --kill-on-bad-exit=1 "${PYTHON:-python}" basicsr_ssm/train.py --launcher slurm -opt "$option_file" --auto_resume "$@"
