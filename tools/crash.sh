#!/usr/bin/env bash
# tools/crash.sh N [--seed S] [--only JOB]: kill trainings, finetunings, data make, segment
# and zoo fetch N times more, at random moments, and see that nothing is lost.
#   --seed S    of the first run; later ones go on with the seed and count that they find
#   --only JOB  those jobs only whose names hold this word; may be given several times
# build/crash/tally.json keeps the totals, which are printed at the end. At the first
# fault the files stay in build/crash/life-*. Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# = 0 ] || [ "$1" = --help ] || [ "$1" = -h ]; then sed -n '2,8s/^# //p' "$0"; exit; fi
tools/setup.sh dev
exec .venv/bin/python -m tests.crash.run "$@"
