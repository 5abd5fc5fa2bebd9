#!/usr/bin/env bash
# tools/train.sh SOLVER.prototxt [more arguments of caffe train]
#   tools/train.sh prototxt/unet_isbi2012/solver.prototxt -gpu 0
#   tools/train.sh SOLVER -weights W.caffemodel         start from these weights
#   tools/train.sh SOLVER -snapshot S.solverstate       go on where this one stopped
#   tools/train.sh SOLVER --log runs/1                  also keep log, CSV tables and TensorBoard's files there
# Ctrl-C stops after a snapshot. File names are relative to where you stand.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -eq 0 ]; then sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
"$root/tools/setup.sh" run
# Threads that wait shall sleep: where others use the cores too, spinning ones make
# training many times slower.
exec "$root/.venv/bin/caffe" train -solver "$@"
