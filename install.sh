#!/usr/bin/env bash
# Sets up everything in .venv beside this file; run it again at any time, it does only what is missing.
#
#   bash install.sh         set up
#   bash install.sh demo    set up, then track and score the embedded night demo
#   bash install.sh check   set up, then check style and types
#   bash install.sh test    set up, check style and types, then run the tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

VENV=.venv
PYTHON=$VENV/bin/python
NEEDED_GB=8

fail() { echo "install.sh: error: $*" >&2; exit 3; }

find_python() {
    local name
    for name in python3 python3.12 python3.11 python3.13 python3.10; do
        if "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"; return
        fi
    done
    fail "no Python 3.10 or newer with the venv module was found (Debian, Ubuntu: apt install python3-venv)"
}

# What the wheels expect of the system. Best effort: without root or apt, and where they are there, this is skipped.
system_libraries() {
    local libraries
    libraries=$(ldconfig -p 2>/dev/null || true)
    if [[ $libraries == *libturbojpeg* && $libraries == *libGL.so.1* ]]; then return; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "install.sh: installing libturbojpeg0, libgl1, libglib2.0-0 with apt"
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends libturbojpeg0 libgl1 libglib2.0-0; } \
            >/dev/null 2>&1 && return
        { apt-get install -y -qq --no-install-recommends libturbojpeg libgl1 libglib2.0-0; } >/dev/null 2>&1 && return
    fi
    echo "install.sh: warning: libturbojpeg0 and libgl1 may be missing; install them if the check below fails" >&2
}

# The pair torch and torchvision must match in their compiled parts: a wrong one imports, or fails, at random places.
self_check() {
    "$PYTHON" - <<'CHECK' || fail "the environment is broken (see the line above); remove .venv and run install.sh again"
import sys
from importlib.metadata import version

try:
    import cv2, numpy, torch, torchvision, timm
    torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
    timm.create_model("vit_tiny_patch16_224", pretrained=False)
    encoded = cv2.imencode(".png", numpy.zeros((4, 4, 3), numpy.uint8))[1]
    assert cv2.imdecode(encoded, cv2.IMREAD_COLOR) is not None
except Exception as error:
    pairs = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "opencv-python"))
    sys.exit(f"install.sh: {pairs} do not work together: {str(error).splitlines()[0]}; requirements.lock has a set that does")
CHECK
}

setup() {
    local base stamp
    base=$(find_python)
    stamp="$(sha256sum < requirements.lock) $("$base" --version)"
    if [ "$(cat $VENV/.stamp 2>/dev/null)" = "$stamp" ]; then return; fi
    local free
    free=$(df -Pk . | awk 'NR==2 {print int($4/1048576)}')
    [ -d $VENV ] || [ "$free" -ge $NEEDED_GB ] || fail "$free GB are free here, torch and the rest need $NEEDED_GB"
    system_libraries
    echo "install.sh: installing requirements.lock into $VENV (a minute or two, about 6 GB)"
    [ -x $PYTHON ] || "$base" -m venv $VENV
    # uv is quicker than pip; like pip it is to trust the certificates that this machine trusts.
    export UV_SYSTEM_CERTS=1
    if ! { $PYTHON -m pip install --quiet --disable-pip-version-check uv \
        && $VENV/bin/uv pip sync --quiet --python $PYTHON requirements.lock; }; then
        echo "install.sh: uv did not manage, trying pip" >&2
        $PYTHON -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
            || fail "pip could not install requirements.lock (its message is above)"
    fi
    self_check
    echo "$stamp" > $VENV/.stamp
}

demo() {
    $PYTHON tracking/test.py lunar tiny --dataset lunar_demo --threads "$(nproc)" --debug
    $PYTHON tracking/analysis_results.py --trackers lunar:tiny --dataset lunar_demo \
        --per_sequence --plots output/demo --html output/demo/report.html --json output/demo/scores.json
    echo
    echo "Look at output/demo/report.html (report), output/demo/*.png (plots) and output/test/debug/lunar/tiny/lunar_demo/*.mp4 (videos)."
}

check() {
    $VENV/bin/ruff check .
    $VENV/bin/ruff format --check .
    $PYTHON -m mypy
}

run_tests() {
    export OMP_NUM_THREADS=1
    unset PYTHONDONTWRITEBYTECODE  # the tests start Python hundreds of times
    # While one core checks types, the other compiles the tests, which else every process below does for itself.
    $PYTHON -m pytest --collect-only -qq >/dev/null 2>&1 &
    check
    wait || true
    # One process more than cores: some tests wait for others to end.
    exec $PYTHON -m pytest -n "$(($(nproc) + 1))" --dist worksteal "$@"
}

setup
case "${1:-}" in
    "") echo "install.sh: ready. Use $PYTHON, or: source $VENV/bin/activate" ;;
    demo) demo ;;
    check) check ;;
    test) run_tests "${@:2}" ;;
    *) echo "usage: bash install.sh [demo | check | test]" >&2; exit 2 ;;
esac
