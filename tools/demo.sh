#!/usr/bin/env bash
# tools/demo.sh: the main job from end to end on images made here, in some minutes on
# two cores: make images with known truth, make training data, train, segment images
# that the net has not seen, score them against two thresholds, draw a picture.
# Everything it writes is in demo/.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'echo "demo: interrupted" >&2; exit 130' INT
tools/setup.sh run
export PATH="$PWD/.venv/bin:$PATH"

began=$SECONDS
step() {
    printf '\n== %s\n' "$1"
    shift
    local start=$SECONDS
    "$@"
    echo "-- $((SECONDS - start)) s"
}
run() {
    printf '$ %s\n' "$*"
    "$@"
}

make_images() {
    run pyunet data synthetic --out demo/train --slices 16 --size 320 --seed 1
    run pyunet data synthetic --out demo/unseen --slices 4 --size 320 --seed 2
}
make_data() {
    run pyunet data make --images demo/train/images.tif --labels demo/train/labels.tif \
        --input-shape 188 --output-shape 148 --samples 2000 --out demo/data
}
train() {
    echo "(the whole log: demo/train.log)"
    run tools/train.sh prototxt/unet_demo/solver.prototxt 2>&1 |
        (trap '' INT; tee demo/train.log | grep --line-buffered -E '^\$|\(.* iter/s, |rror|napshotting to')
}
segment() {
    run pyunet segment --model prototxt/unet_demo --out demo/out \
        --weights demo/snapshots/unet_demo_iter_2000.caffemodel \
        --truth demo/unseen/labels.tif demo/unseen/images.tif
}
evaluate() {
    run pyunet evaluate --truth demo/unseen/labels.tif --prediction demo/out \
        --baseline demo/unseen/images.tif
}

mkdir -p demo
rm -rf demo/train demo/unseen demo/data demo/snapshots demo/out
step "1/5 images that look like electron micrographs, and their truth" make_images
step "2/5 training data: elastic augmentation, weight maps" make_data
step "3/5 training" train
step "4/5 segmenting images that were not seen" segment
step "5/5 scores, beside a global and a smoothed Otsu threshold" evaluate
printf '\n%s\n' "Image, truth, prediction, overlay: $PWD/demo/out/images_comparison.png"
echo "demo: done in $((SECONDS - began)) s"
