#!/usr/bin/env bash
# From nothing to a trained MedVSR and a restored video, on CPU or GPU, in minutes:
#
#   scripts/quickstart.sh [--input VIDEO_DICOM_OR_FOLDER…] [--output DIR]
#
# Sets up .venv, takes real clips (a colour ultrasound cine and two videos that Python packages ship, or your own),
# makes an LMDB data set of them, trains a small MedVSR, tests it on a video that training did not see, restores that
# video to 4x its size, and prints a table beside bicubic. With --input the last input is the one held out; a single
# input is held out alone, and the demo videos train. Everything lands in DIR (default: quickstart); what is there from
# an earlier run is used again.
set -euo pipefail
started=$(date +%s)
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

inputs=() output=quickstart
while [ $# -gt 0 ]; do
  case $1 in
    --input)
      shift
      while [ $# -gt 0 ] && [[ $1 != --* ]]; do inputs+=("$1"); shift; done
      [ ${#inputs[@]} -gt 0 ] || fail '--input needs a video, a DICOM file or a folder of frames'
      ;;
    --output) [ $# -ge 2 ] || fail '--output needs a folder'; output=$2; shift 2 ;;
    *) sed -n '2,/^set/p' "$0" | sed 's/^# \{0,1\}//;/^set/d' >&2; exit 2 ;;
  esac
done
for path in "${inputs[@]}"; do [ -e "$path" ] || fail "no $path"; done

prepare_environment demo
export PYTHONWARNINGS=ignore
if [ ${#inputs[@]} -eq 0 ]; then
  mapfile -t inputs < <(python "$root/scripts/demo_sources.py")
elif [ ${#inputs[@]} -eq 1 ]; then
  mapfile -t demo < <(python "$root/scripts/demo_sources.py")
  inputs=("${demo[@]:0:2}" "${inputs[0]}")
fi
[ ${#inputs[@]} -ge 2 ] || fail 'no clips to work with'
held_out=${inputs[-1]}
mapfile -t held_out_names < <(python - "$held_out" <<'PYTHON'
import sys
from basicsr_ssm.clips.discover import find_sources
print(*find_sources(sys.argv[1:]), sep='\n')
PYTHON
)

say "1/5 clips into LMDB; held out: ${held_out_names[*]}"
basicsr-ssm prepare custom --source "${inputs[@]}" --test "${held_out_names[@]}" --output "$output/data" \
  --scale 4 --clip-length 10 --max-clips 20

say '2/5 training a small MedVSR'
trained=$output/experiment/models/net_g_latest.pth
if [ -f "$trained" ]; then
  echo "using $trained"
else
  basicsr-ssm train -opt "$root/options/train/MedVSR/medvsr_quickstart_x4.yml" --auto_resume --force_yml \
    datasets:train:dataroot_gt="$output/data/train/GT.lmdb" datasets:train:dataroot_lq="$output/data/train/BIx4.lmdb" \
    path:experiments_root="$output/experiment"
fi

say '3/5 testing on the held-out clips'
tested=(-opt "$root/options/test/MedVSR/medvsr_quickstart_x4.yml" --force_yml
  datasets:test:dataroot_gt="$output/data/test/GT.lmdb" datasets:test:dataroot_lq="$output/data/test/BIx4.lmdb"
  path:results_root="$output/results" path:pretrain_network_g="$trained")
if [ ! "$output/results/comparison.png" -nt "$trained" ]; then
  basicsr-ssm test "${tested[@]}"
fi

say '4/5 restoring the held-out video at 4x its size'
restored=$output/restored.mp4
if [ ! "$restored" -nt "$trained" ]; then
  source_path=$(python -c 'import sys; from basicsr_ssm.clips.discover import find_sources
print(next(iter(find_sources(sys.argv[1:]).values())))' "$held_out")
  basicsr-ssm upscale "$source_path" "$restored" --model "$trained" --frames 0:3 --overwrite
fi

say '5/5 beside bicubic'
if [ ! "$output/results/comparison.png" -nt "$trained" ]; then basicsr-ssm compare "${tested[@]}" >/dev/null; fi
page=$output/report.html
if [ ! "$page" -nt "$trained" ]; then basicsr-ssm report "MedVSR=$output/results" --output "$page" >/dev/null; fi
cat "$output/results/comparison.md"
printf '\npicture:  %s\npage:     %s\nvideo:    %s\nnetwork:  %s\ndone in %s s\n' \
  "$output/results/comparison.png" "$page" "$restored" "$trained" "$(($(date +%s) - started))"
