#!/usr/bin/env bash
# tools/segment_and_track.sh: segment and track as u-net-release-2015-10-02 does, with
# its parameters. Stand beside PhC-C2DH-U373/ and phseg_v5.caffemodel of the release:
#   tools/segment_and_track.sh            PhC-C2DH-U373/01 to PhC-C2DH-U373/01_RES
#   tools/segment_and_track.sh --gpu 0    the same on a GPU
#   tools/segment_and_track.sh IN_DIR OUT_DIR [options of pyunet segment-and-track]
#   weights=W.caffemodel tools/segment_and_track.sh ...       other weights
# Ctrl-C stops it; the same command goes on.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit ;; esac
places=(PhC-C2DH-U373/01 PhC-C2DH-U373/01_RES)
if [ $# -ge 2 ] && [[ $1 != -* && $2 != -* ]]; then places=("$1" "$2"); shift 2; fi
"$root/tools/setup.sh" run
exec "$root/.venv/bin/pyunet" segment-and-track "${places[@]}" \
    --model "$root/prototxt/phseg_v5" --weights "${weights:-phseg_v5.caffemodel}" \
    --scale-image 1 --tiles 2 --min-area 500 --foi-border 50 --linking release "$@"
