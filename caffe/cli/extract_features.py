"""The command `extract_features`: blobs of a trained net into databases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from caffe.cli import tools
from caffe.errors import CheckError
from caffe.glog import log

if TYPE_CHECKING:
    from caffe.engine.net import Net
    from caffe.engine.sources.databases import Writer

_PROGRAM = "extract_features"
_USAGE = """\
usage: extract_features  pretrained_net_param  feature_extraction_proto_file
    extract_feature_blob_name1[,name2,...]  save_feature_dataset_name1[,name2,...]
    num_mini_batches  db_type  [CPU/GPU] [DEVICE_ID=0]

Runs a trained net on its input data layer and writes blobs as Datum messages, one for
each image, into databases of db_type lmdb or leveldb, which must not exist. Several
blobs are extracted in one pass by names separated by ','; the number of blobs and
datasets must be equal.

example:
  extract_features caffenet.caffemodel imagenet_val.prototxt fc7 features 10 lmdb"""
_FEWEST, _MOST = 6, 8
_IMAGES_BETWEEN_LINES = 1000
_BYTES_HELD = 1 << 26
_LEGACY_AXES = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


class _Features:
    """One blob of a net on its way into a database."""

    def __init__(self, net: Net, name: str, writer: Writer) -> None:
        self._name = name
        self._blob = net.blobs[name]
        # a blob that was looked at before is kept by each forward from then on
        _ = self._blob.data
        self._writer = writer
        self._records: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._count = 0

    def add(self) -> None:
        """Take what the last forward made, an image after the other."""
        from caffe.proto import caffe_pb2

        images, *extents = _legacy_shape(self._name, self._blob.shape)
        channels, height, width = extents
        for values in self._blob.data.reshape(images, channels * height * width):
            datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
            datum.float_data.extend(values.tolist())
            self._put(datum.SerializeToString())

    def finish(self) -> None:
        """Write what is left."""
        self._write()
        self._tell()

    def _put(self, value: bytes) -> None:
        self._records.append((f"{self._count:010d}".encode(), value))
        self._bytes += len(value)
        self._count += 1
        if self._count % _IMAGES_BETWEEN_LINES == 0:
            self._write()
            self._tell()
        elif self._bytes > _BYTES_HELD:
            self._write()

    def _write(self) -> None:
        self._writer.write(self._records)
        self._records, self._bytes = [], 0

    def _tell(self) -> None:
        log(
            "extract_features.cpp:177",
            f"Extracted features of {self._count} query images for feature blob "
            f"{self._name}",
            "E",
        )


def _work(words: list[str]) -> None:
    if not _FEWEST <= len(words) <= _MOST:
        raise CheckError(
            f"{len(words)} arguments; expected {_FEWEST} to {_MOST} "
            "(--help shows an example)"
        )
    weights, model, blobs, datasets, batches, backend, *device = words
    count = _batches(batches)
    names, paths = blobs.split(","), datasets.split(",")
    if len(names) != len(paths):
        raise CheckError(
            f"{len(names)} blob names and {len(paths)} dataset names: "
            "the number of blob names and dataset names must be equal"
        )
    if len(set(paths)) < len(paths):
        raise CheckError(f"{datasets}: expected another dataset for each blob")
    _choose_device(device)

    import caffe
    from caffe.engine.sources.databases import new_database

    net = caffe.Net(model, caffe.TEST, weights=weights)
    for name in names:
        _check_blob(net, name, model)
    with ExitStack() as stack:
        features = []
        for name, path in zip(names, paths, strict=True):
            log("extract_features.cpp:119", f"Opening dataset {path}")
            writer = stack.enter_context(new_database(backend, path, log))
            features.append(_Features(net, name, writer))
        _extract(net, features, count)
    log("extract_features.cpp:182", "Successfully extracted the features!", "E")


def _extract(net: Net, features: list[_Features], batches: int) -> None:
    log("extract_features.cpp:126", "Extracting Features", "E")
    for _ in range(batches):
        net.forward()
        for feature in features:
            feature.add()
    for feature in features:
        feature.finish()


def _batches(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise CheckError(f"num_mini_batches must be 1 or more, it is '{word}'")
    return int(word)


def _choose_device(words: Sequence[str]) -> None:
    from caffe.engine import common

    kind, number = (*words, *("CPU", "0")[len(words) :])
    number = number.removeprefix("DEVICE_ID=")
    if kind not in ("CPU", "GPU") or not number.isdecimal():
        raise CheckError(f"'{' '.join(words)}': expected CPU, or GPU and its number")
    if kind == "CPU":
        log("extract_features.cpp:65", "Using CPU", "E")
        common.set_mode_cpu()
        return
    log("extract_features.cpp:55", "Using GPU", "E")
    log("extract_features.cpp:61", f"Using Device_id={number}", "E")
    common.set_device(int(number))
    common.set_mode_gpu()


def _check_blob(net: Net, name: str, model: str) -> None:
    if name not in net.blobs:
        raise CheckError(
            f"Unknown feature blob name {name} in the network {model}; it has: "
            f"{', '.join(net.blobs)}"
        )
    _legacy_shape(name, net.blobs[name].shape)


def _legacy_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Four axes, as a Datum and its number have; those that lack are 1."""
    if len(shape) > _LEGACY_AXES:
        raise CheckError(
            f"feature blob {name} has shape {shape}; a Datum holds blobs of up to "
            f"{_LEGACY_AXES} axes"
        )
    return (*shape, *(1,) * (_LEGACY_AXES - len(shape)))
