"""The command `convert_imageset`: a list of images into a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from caffe.cli import tools
from caffe.cli.flags import CommandFlags, begin
from caffe.errors import CheckError, FileError
from caffe.flags import flag, flag_table, parse_flags
from caffe.glog import log

_PROGRAM = "convert_imageset"
AT_ONCE = 1000


@dataclass
class ConvertFlags(CommandFlags):
    """The flags of `convert_imageset`."""

    gray: bool = flag(False, "When this option is on, treat images as grayscale ones")
    shuffle: bool = flag(False, "Randomly shuffle the order of images and their labels")
    backend: str = flag("lmdb", "The backend {lmdb, leveldb} for storing the result")
    resize_width: int = flag(0, "Width images are resized to")
    resize_height: int = flag(0, "Height images are resized to")
    check_size: bool = flag(
        False, "When this option is on, check that all the datum have the same size"
    )
    encoded: bool = flag(
        False, "When this option is on, the encoded image will be save in datum"
    )
    encode_type: str = flag(
        "",
        "Optional: What type should we encode the image as ('png','jpg',...).",
    )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image is brought to."""
        if self.resize_height > 0 and self.resize_width > 0:
            return self.resize_height, self.resize_width
        return height, width


_USAGE = f"""\
Convert a set of images to the leveldb/lmdb
format used as input for Caffe.
Usage:
    convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

A line of LISTFILE is the name of an image, a space, and its label, a whole number.

  Flags:
{flag_table(ConvertFlags)}

example:
  convert_imageset -resize_height 256 -resize_width 256 images/ train.txt train_lmdb"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    flags, names = parse_flags(ConvertFlags, words)
    if begin(flags):
        return
    if len(names) != 3:
        raise CheckError(
            f"{len(names)} arguments; expected ROOTFOLDER/ LISTFILE DB_NAME "
            "(--help shows an example)"
        )
    if bool(flags.resize_width > 0) != bool(flags.resize_height > 0):
        log(
            "convert_imageset.cpp:94",
            f"-resize_width is {flags.resize_width} and -resize_height "
            f"{flags.resize_height}: images keep their size; give both",
            "W",
        )
    root, source, path = names
    from caffe.engine.sources import images
    from caffe.engine.sources.databases import new_database

    lines = images.read_list(source)
    if flags.shuffle:
        import numpy as np

        log("convert_imageset.cpp:86", "Shuffling data")
        np.random.default_rng().shuffle(lines)
    log("convert_imageset.cpp:89", f"A total of {len(lines)} images.")
    if flags.encode_type and not flags.encoded:
        log("convert_imageset.cpp:92", "encode_type specified, assuming encoded=true.")
    with new_database(flags.backend, path, log) as writer:
        count = 0
        for records in groups(_records(root, lines, flags)):
            writer.write(records)
            count += len(records)
            is_full = len(records) == AT_ONCE
            line = 147 if is_full else 153
            log(f"convert_imageset.cpp:{line}", f"Processed {count} files.")
        if count == 0:
            raise FileError(f"{source}: none of its {len(lines)} images could be read")


def groups(
    records: Iterable[tuple[bytes, bytes]],
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Cut records into lists that are written at once."""
    group: list[tuple[bytes, bytes]] = []
    for record in records:
        group.append(record)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _records(
    root: str, lines: list[tuple[str, int]], flags: ConvertFlags
) -> Iterator[tuple[bytes, bytes]]:
    size: int | None = None
    for number, (name, label) in enumerate(lines):
        try:
            datum = datum_of(root + name, name, flags)
        except FileError as error:
            log("io.cpp:80", f"Could not open or find file {error}", "E")
            continue
        datum.label = label
        if flags.check_size:
            length = len(datum.data)
            size = length if size is None else size
            if length != size:
                raise FileError(
                    f"{root}{name}: Incorrect data field size {length}; expected "
                    f"{size}, the size of the first image"
                )
        key = f"{number:08d}_{name}".encode(errors="surrogateescape")
        yield key, datum.SerializeToString()


def datum_of(path: str, name: str, flags: ConvertFlags) -> Any:
    """Datum of an image file: its pixels, or an encoded image."""
    from caffe.engine.sources import images
    from caffe.proto import caffe_pb2

    kind = flags.encode_type or (_kind(name) if flags.encoded else "")
    raw = images.read_bytes(path)
    try:
        pixels = images.decode(raw, not flags.gray)
    except CheckError as error:
        raise FileError(f"{path}: {error}") from None
    height, width = pixels.shape[:2]
    size = flags.size(height, width)
    resized = size != (height, width)
    pixels = images.resize(pixels, *size)
    if not kind:
        channels, height, width = (pixels.shape[axis] for axis in (2, 0, 1))
        return caffe_pb2.Datum(
            channels=channels,
            height=height,
            width=width,
            data=pixels.transpose(2, 0, 1).tobytes(),
            encoded=False,
        )
    if resized or not _is_kind(path, kind):
        raw = images.encode(pixels, kind)
    return caffe_pb2.Datum(data=raw, encoded=True)


def _kind(name: str) -> str:
    suffix = PurePath(name).suffix[1:].lower()
    if not suffix:
        text = f"Failed to guess the encoding of '{name}'"
        log("convert_imageset.cpp:114", text, "W")
    return suffix or name.lower()


def _is_kind(path: str, kind: str) -> bool:
    """Whether the file has this encoding already, by its name."""
    suffix = PurePath(path).suffix[1:].lower()
    return suffix == kind or (kind == "jpg" and suffix == "jpeg")
