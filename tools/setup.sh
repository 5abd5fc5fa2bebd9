#!/usr/bin/env bash
# tools/setup.sh run|dev: make .venv, or bring it up to date, with the versions of
# constraints.txt. The other tools call it; after the first time it takes no time.
#   run   what the commands need            dev   also what tests and checks need
# PYTHON=python3.12 tools/... chooses the Python that .venv is made with.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-run}
stamp=.venv/.pyunet-setup

good_python() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if good_python "$candidate"; then echo "$candidate"; return; fi
    done
    echo "setup: expected Python 3.11 to 3.14, ${PYTHON:-python3} is" \
         "$("${PYTHON:-python3}" --version 2>&1 | head -n 1 || true);" \
         "name another with PYTHON=/path/to/python tools/..." >&2
    return 1
}

make_venv() {
    local python
    python=$(find_python)
    echo "setup: making .venv with $("$python" --version)"
    rm -f "$stamp"
    if ! "$python" -m venv --clear .venv; then
        echo "setup: '$python -m venv' failed; on Debian and Ubuntu: sudo apt install python3-venv" >&2
        return 1
    fi
}

# Without an NVIDIA GPU the CPU build of torch, a tenth of the size, if its index answers.
install_cpu_torch() {
    if [ "$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null; then return; fi
    local torch
    torch=$(grep '^torch==' constraints.txt)
    echo "setup: no NVIDIA GPU here: $torch as PyTorch's CPU build if its index answers"
    pip install --timeout 10 --retries 0 --constraint constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu "$torch" ||
        echo "setup: that did not work; next try: the usual index"
}

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

if grep -qs ' dev$' "$stamp"; then extra=dev; fi
wanted="$PWD $(cat setup.py constraints.txt tools/setup.sh | cksum | tr ' ' '-') $extra"
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

SECONDS=0
moved=false
if [ -f "$stamp" ] && [ "$(cut -d ' ' -f 1 "$stamp")" != "$PWD" ]; then moved=true; fi
if $moved || ! good_python .venv/bin/python || ! pip --version >/dev/null 2>&1; then make_venv; fi
rm -f "$stamp"
install_cpu_torch
echo "setup: installing the packages of constraints.txt into .venv (the first time some minutes)"
if [ "$extra" = dev ]; then target=".[dev]"; else target="."; fi
pip install --constraint constraints.txt --editable "$target"
echo "$wanted" >"$stamp"
echo "setup: done in $SECONDS s"
