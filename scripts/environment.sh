# Sourced by the other scripts: makes .venv at the root of the checkout and installs this package into it, once.
#   prepare_environment EXTRA…     then .venv/bin/python has torch, BasicSR, this package and its extras
# PYTHON=python3.12 chooses the interpreter, TORCH='torch==2.6.0' the release where none is installed yet.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The release that this package is developed on. A GPU build of another one that is already there is used instead.
torch_requirement=${TORCH:-torch==2.13.0}

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# apt-get install, where that is possible without asking for a password
install_debian_packages() {
  command -v apt-get >/dev/null || return 1
  say "installing Debian packages: $*"
  as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

choose_python() {
  python=${PYTHON:-python3}
  if ! command -v "$python" >/dev/null; then
    install_debian_packages python3 python3-venv || fail "no $python; install Python 3.10 to 3.12 (Debian: python3 python3-venv)"
  fi
  "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || fail \
    "$("$python" --version) at $(command -v "$python"): Python 3.10 to 3.12 is needed; name one with PYTHON=…"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    install_debian_packages "python$version-venv" || fail "$python has no venv module; install python$version-venv"
  fi
}

make_venv() {
  # a torch that is there already, such as a GPU build, is seen from the environment and not installed again
  local options=()
  if "$python" -c 'import torch' 2>/dev/null; then options=(--system-site-packages); fi
  "$python" -m venv "${options[@]}" "$root/.venv"
}

pip_install() { "$root/.venv/bin/python" -m pip install -q --disable-pip-version-check "$@"; }

install_packages() {
  local extras=$1 constraints=$root/.venv/constraints.txt
  if ! "$root/.venv/bin/python" -c 'import torch' 2>/dev/null; then
    say "installing $torch_requirement"
    pip_install "$torch_requirement"
  fi
  # nothing that follows may replace torch: torchvision then is the release made for it
  "$root/.venv/bin/python" -c 'import torch; print("torch==" + torch.__version__.split("+")[0])' >"$constraints"
  say "installing BasicSR and this package beside $(cat "$constraints")"
  pip_install -c "$constraints" torchvision numpy cython setuptools wheel
  # BasicSR's setup.py imports torch: with build isolation pip would fetch another torch to build it
  pip_install -c "$constraints" --no-build-isolation basicsr==1.4.2
  pip_install -c "$constraints" --no-build-isolation -e "$root[$extras]"
  # OpenCV's desktop build needs libraries that a bare server lacks; the headless one is the same module without them
  if ! "$root/.venv/bin/python" -c 'import cv2' 2>/dev/null; then
    say 'installing OpenCV without its desktop parts'
    "$root/.venv/bin/python" -m pip uninstall -q -y opencv-python
    pip_install -c "$constraints" --force-reinstall --no-deps opencv-python-headless
  fi
}

prepare_environment() {
  local extras stamp
  extras=$(IFS=,; echo "$*")
  stamp=$root/.venv/installed-$extras-$(cat "$root/pyproject.toml" "$root/scripts/environment.sh" | sha256sum | cut -c1-16)
  if [ ! -f "$stamp" ]; then
    choose_python
    [ -x "$root/.venv/bin/python" ] || make_venv
    install_packages "$extras"
    touch "$stamp"
  fi
  export PATH=$root/.venv/bin:$PATH
}
