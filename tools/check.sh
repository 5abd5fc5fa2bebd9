#!/usr/bin/env bash
# tools/check.sh [--offline]: format, lint, types, import rules, and whether what is to be
# installed exists for every Python (not with --offline). Only looks; to change files:
# .venv/bin/ruff format . && .venv/bin/ruff check --fix .
set -uo pipefail
cd "$(dirname "$0")/.." || exit
SECONDS=0
tools/setup.sh dev || exit
failed=""
check() {
    echo "check: $*"
    .venv/bin/"$@" || failed="$failed, $1"
}
check ruff format --check .
check ruff check .
check mypy
check lint-imports
if [ "${1:-}" != --offline ]; then
    echo "check: tools/resolve.sh"
    tools/resolve.sh || failed="$failed, resolve"
fi
if [ -n "$failed" ]; then
    echo "check: done in $SECONDS s; failed: ${failed#, }" >&2
    exit 1
fi
echo "check: done in $SECONDS s; all passed"
