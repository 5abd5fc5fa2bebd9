#!/usr/bin/env bash
# tools/lock.sh: write constraints.txt anew with the newest versions that fit together,
# one list for every supported Python and system. uv resolves it and installs nothing;
# run tools/test.sh and tools/check.sh afterwards, on the oldest and the newest Python.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh dev
# torch is a choice of ours, not the newest: kernels and precisions are tested against it
torch=torch==2.13.0
oldest=3.11
{
    echo "# Versions that tools/*.sh install, on every supported Python; made by tools/lock.sh."
    .venv/bin/uv pip compile setup.py --quiet --universal --upgrade --extra dev \
        --python-version "$oldest" --constraints <(echo "$torch") \
        --no-header --no-annotate
} >constraints.txt.new
mv constraints.txt.new constraints.txt
echo "lock: $(grep -c == constraints.txt) versions in constraints.txt"
