#!/bin/sh
# Runs a program of the image pyunet.sif: the one whose name this script is called by.
#   ln -s "$PWD/tools/containers/with_apptainer.sh" ~/bin/caffe_unet
#   ln -s "$PWD/tools/containers/with_apptainer.sh" ~/bin/caffe
# The home folder, /tmp and the current folder are seen from inside; name others, such
# as those of a cluster's big disks, in `folders`. Paths may hold no blanks.
apptainer=${APPTAINER:-apptainer}
image=${PYUNET_IMAGE:-$HOME/pyunet.sif}
folders=${PYUNET_FOLDERS:-}

set -- "$image" "$(basename "$0")" "$@"
for folder in $folders; do set -- --bind "$folder:$folder" "$@"; done
if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
    set -- --env CUDA_VISIBLE_DEVICES="$CUDA_VISIBLE_DEVICES" "$@"
fi
if [ -e /dev/nvidiactl ]; then set -- --nv "$@"; fi
exec "$apptainer" exec --cleanenv "$@"
