#!/usr/bin/env bash
# Sets up .venv if need be and runs lint and tests. Arguments go to pytest: scripts/run_tests.sh -k golden
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"
prepare_environment dev

say 'lint'
ruff check .
ruff format --check .

say 'tests'
workers=$(nproc)
# the tests' tensors are small: one thread each, and one process a core, is fastest
export OMP_NUM_THREADS=1
exec python -m pytest -q -n "$workers" --dist worksteal "$@"
