"""The command `compute_image_mean`: the mean of the images of a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe import atomic
from caffe.cli import tools
from caffe.cli.flags import CommandFlags, begin
from caffe.errors import CheckError, FileError
from caffe.flags import flag, flag_table, parse_flags
from caffe.glog import log

if TYPE_CHECKING:
    from caffe.engine.sources.databases import Database

_PROGRAM = "compute_image_mean"
_LOGGED_IMAGES = 10000


@dataclass
class MeanFlags(CommandFlags):
    """The flags of `compute_image_mean`."""

    backend: str = flag("lmdb", "The backend {leveldb, lmdb} containing the images")


_USAGE = f"""\
Compute the mean_image of a set of images given by a leveldb/lmdb
Usage:
    compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE]

  Flags:
{flag_table(MeanFlags)}

example:
  compute_image_mean -backend lmdb train_lmdb mean.binaryproto"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    flags, names = parse_flags(MeanFlags, words)
    if begin(flags):
        return
    if len(names) not in (1, 2):
        raise CheckError(
            f"{len(names)} arguments; expected INPUT_DB, or INPUT_DB and "
            "OUTPUT_FILE (--help shows an example)"
        )
    from caffe.engine.sources.databases import open_database
    from caffe.proto import blobs

    mean = _mean(open_database(flags.backend, names[0], log))
    if len(names) > 1:
        log("compute_image_mean.cpp:107", f"Write to {names[1]}")
        message = blobs.to_proto(mean)
        message.ClearField("shape")  # Caffe writes the older four numbers
        message.num = 1
        message.channels, message.height, message.width = mean.shape
        atomic.write_bytes(names[1], message.SerializeToString())
    _log_channels(mean)


def _mean(database: Database) -> Any:
    """Mean of all images, added up one after the other in float32, as Caffe does."""
    import numpy as np

    from caffe.engine.sources.databases import image_of, parse_datum, shown

    total: Any = None
    count = 0
    for key, value in database.records():
        where = f"{database.path}: {shown(key)}"
        datum = parse_datum(value(), where)
        if count == 0 and datum.encoded:
            log("compute_image_mean.cpp:60", "Decoding Datum")
        try:
            image = image_of(datum)
        except CheckError as error:
            raise FileError(f"{where}: {error}") from None
        if count == 0:
            total = np.zeros(image.shape, np.float32)
            log("compute_image_mean.cpp:70", "Starting iteration")
        if image.shape != total.shape:
            raise FileError(
                f"{where}: Incorrect data field size {image.size}: an image of shape "
                f"{image.shape}; expected {total.shape}, the shape of the first"
            )
        total += image
        count += 1
        if count % _LOGGED_IMAGES == 0:
            log("compute_image_mean.cpp:95", f"Processed {count} files.")
    if count % _LOGGED_IMAGES:
        log("compute_image_mean.cpp:101", f"Processed {count} files.")
    return total / np.float32(count)


def _log_channels(mean: Any) -> None:
    log("compute_image_mean.cpp:114", f"Number of channels: {len(mean)}")
    for channel, values in enumerate(mean):
        # one after the other in float32: the last of the running sums
        value = values.ravel().cumsum(dtype=values.dtype)[-1] / values.size
        log(
            "compute_image_mean.cpp:119",
            f"mean_value channel [{channel}]: {value:.6g}",
        )
