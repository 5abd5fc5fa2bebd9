#!/usr/bin/env bash
# tools/resolve.sh [EXTRA...]: does what setup.py and constraints.txt ask for exist, as
# wheels, for every supported Python? Asks the package index, installs nothing. Without
# arguments: the plain packages and each extra.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
tools/setup.sh dev || exit
pythons="3.11 3.12 3.13 3.14"
folder=build/resolve
rm -rf "$folder" && mkdir -p "$folder"
.venv/bin/python -m build --wheel --no-isolation --outdir "$folder" . >"$folder/build.log" 2>&1 ||
    { echo "resolve: no wheel could be built: $folder/build.log" >&2; exit 1; }
wheel=$(ls "$PWD/$folder"/*.whl)
if [ $# -gt 0 ]; then extras="$*"; else
    extras=$(unzip -p "$wheel" '*/METADATA' | sed -n 's/^Provides-Extra: //p')
    extras="plain $(echo $extras)"
fi
failed=0
for python in $pythons; do
    for extra in $extras; do
        case $extra in plain) what="pyunet @ file://$wheel";; *) what="pyunet[$extra] @ file://$wheel";; esac
        # not pip's own dry run: that takes the markers of the Python it runs on
        if .venv/bin/uv pip install --quiet --dry-run --only-binary :all: --python-version "$python" \
            --target "$folder/target" --constraints constraints.txt "$what" 2>"$folder/error"; then
            echo "resolve: Python $python, $extra: ok"
        else
            echo "resolve: Python $python, $extra: $(tr -s '\n ' '  ' <"$folder/error")" >&2
            failed=1
        fi
    done
done
exit $failed
