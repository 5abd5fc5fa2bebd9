#!/usr/bin/env bash
# tools/test.sh [--slow] [pytest's arguments]: all tests, without those marked slow
# unless --slow is given. tools/test.sh tests/pyunet -k tiling: some of them.
set -euo pipefail
cd "$(dirname "$0")/.."
SECONDS=0
tools/setup.sh dev
marks="not slow"
if [ "${1:-}" = --slow ]; then marks=""; shift; fi
# One process a core, each with one thread: the tests are many and small.
export OMP_NUM_THREADS=1
# Many start commands; none has to compile our modules again.
unset PYTHONDONTWRITEBYTECODE
echo "test: running the tests${marks:+ ($marks)}"
status=0
.venv/bin/python -m pytest -n auto --maxprocesses 4 -m "$marks" "$@" || status=$?
echo "test: done in $SECONDS s"
exit $status
