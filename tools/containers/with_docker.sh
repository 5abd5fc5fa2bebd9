#!/bin/sh
# Runs a program of the container pyunet: the one whose name this script is called by.
#   ln -s "$PWD/tools/containers/with_docker.sh" ~/bin/caffe_unet
#   ln -s "$PWD/tools/containers/with_docker.sh" ~/bin/caffe
# The folders below have the same paths inside as outside: name all that hold images,
# models, weights and jobs. Paths may hold no blanks.
image=${PYUNET_IMAGE:-pyunet}
folders=${PYUNET_FOLDERS:-$HOME /tmp}

set -- "$image" "$(basename "$0")" "$@"
for folder in $folders; do set -- --volume "$folder:$folder" "$@"; done
case " $folders / " in
*" $PWD "*) ;;
*) set -- --volume "$PWD:$PWD" "$@" ;;
esac
if [ -e /dev/nvidiactl ]; then set -- --gpus all "$@"; fi
# --init: as process 1 the program itself would not hear a cancel. No -t: a terminal
# changes the ends of lines. exec: a signal to this process reaches docker, which
# hands it on.
exec docker run --rm --init --user "$(id -u):$(id -g)" \
    --env HOME="$HOME" --env USER="$(id -un)" --workdir "$PWD" "$@"
