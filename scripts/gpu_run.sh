#!/usr/bin/env bash
# Trains a network on a GPU, in float32 and in bfloat16, and tests both on held-out clips. The default is MedVSR by the
# published recipe.
#
#   scripts/gpu_run.sh --data DIR --spynet FILE [--output DIR] [--iterations N] [--opt OPTION_FILE] [--at-once] [KEY=VALUE ...]
#
# DIR is a data set made by `basicsr-ssm prepare` at scale 4 with the splits train, val and test; FILE a SpyNet or a
# checkpoint that holds one (BasicVSR's). With two GPUs the two precisions run side by side, one on each; with
# --at-once they do so on one GPU, and their times are no measure then. KEY=VALUE sets an option of the training, as
# datasets:train:num_frame=3. The output folder gets a log for each, experiments/, results/ and the comparison with
# bicubic; the last lines of the logs have seconds per iteration and the peak of GPU memory. Runs with whatever `python`
# is active.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output=gpu_run iterations=2000 option_file=$root/options/train/MedVSR/medvsr_hyperkvasir_x4.yml data='' spynet='' at_once=''
settings=()
usage() { sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;/^set/d' >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --at-once) at_once=1; shift; continue ;;
    --*) ;;
    *=*) settings+=("$1"); shift; continue ;;
  esac
  [ $# -ge 2 ] || usage
  case $1 in
    --data) data=$2 ;; --spynet) spynet=$2 ;; --output) output=$2 ;; --iterations) iterations=$2 ;; --opt) option_file=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ -n "$data" ] && [ -n "$spynet" ] || usage
data=$(realpath "$data") spynet=$(realpath "$spynet") option_file=$(realpath "$option_file")
test_option_file=${option_file/options\/train/options/test}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
[ "$gpus" -gt 0 ] || { echo 'error: no CUDA device' >&2; exit 1; }
IFS=, read -ra devices <<<"${CUDA_VISIBLE_DEVICES:-0,1}"
mkdir -p "$output"
cd "$output"

run() { # precision, GPU among those that are visible
  local precision=$1 name=gpu_run_$1 amp='~'
  if [ "$precision" = bf16 ]; then amp=bf16; fi
  export CUDA_VISIBLE_DEVICES=${devices[$2]}
  # one GPU takes both clips of MedVSR's published 2 × 1
  python -m basicsr_ssm train -opt "$option_file" --force_yml name="$name" num_gpu=1 manual_seed=0 \
    datasets:train:dataroot_gt="$data/train/GT.lmdb" datasets:train:dataroot_lq="$data/train/BIx4.lmdb" \
    datasets:train:batch_size_per_gpu=2 \
    datasets:val:dataroot_gt="$data/val/GT.lmdb" datasets:val:dataroot_lq="$data/val/BIx4.lmdb" \
    network_g:spynet_path="$spynet" train:total_iter="$iterations" train:amp="$amp" \
    logger:print_freq=100 logger:save_checkpoint_freq="$((iterations / 4))" val:val_freq="$((10 * iterations))" \
    "${settings[@]}"
  local tested=(-opt "$test_option_file" --force_yml name="$name" num_gpu=1
    datasets:test:dataroot_gt="$data/test/GT.lmdb" datasets:test:dataroot_lq="$data/test/BIx4.lmdb"
    path:pretrain_network_g="experiments/$name/models/net_g_latest.pth" val:save_img=true)
  python -m basicsr_ssm test "${tested[@]}"
  python -m basicsr_ssm compare "${tested[@]}"
}

if [ "$gpus" -ge 2 ] || [ -n "$at_once" ]; then
  run fp32 0 >fp32.log 2>&1 & first=$!
  run bf16 $((gpus > 1)) >bf16.log 2>&1 & second=$!
  wait "$first" && wait "$second"
else
  run fp32 0 >fp32.log 2>&1
  run bf16 0 >bf16.log 2>&1
fi
tail -n 25 fp32.log bf16.log
