#!/usr/bin/env bash
# tools/fuzz.sh [TARGET] [SECONDS | --executions N]: feed the readers damaged files.
#   TARGET    a reader, a family of them (caffe, pyunet), or all (the default); what is
#             no name of a target is answered with all names
#   SECONDS   for each target, default 60; or N: how many inputs more for each
#   --seed S  of a target that was not run before, default 1
#   --totals  print how much was done so far, and what failed
# build/fuzz/TARGET holds the seed and the executions so far, so that a rerun goes on
# where the last one stopped, and failures/: for each kind of failure the smallest input
# and the stack. An input that is kept for good goes into tests/fuzz/failed/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '2,10s/^# //p' "$0"; exit; fi
tools/setup.sh dev
exec .venv/bin/python -m tests.fuzz.run "$@"
