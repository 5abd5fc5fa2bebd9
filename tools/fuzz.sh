#!/usr/bin/env bash
# tools/fuzz.sh [TARGET] [SECONDS]: feed the readers of files with damaged input.
#   TARGET    prototxt, caffemodel, solverstate, binaryproto, hdf5, or all (the default)
#   SECONDS   for each target, default 60
# With atheris (pip install atheris; Linux) inputs grow by the code they reach, without
# it they are random changes of the corpus. build/fuzz/TARGET holds the corpus, which
# is made on the spot, and crash-*: the inputs that made something else than an error.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '2,7s/^# //p' "$0"; exit; fi
targets=${1:-all}
if [ "$targets" = all ]; then targets="prototxt caffemodel solverstate binaryproto hdf5"; fi
tools/setup.sh dev
for target in $targets; do
    .venv/bin/python -m tests.fuzz.run "$target" "${2:-60}"
done
