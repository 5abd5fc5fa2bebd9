"""The command `convert_annoset`: images and their boxes into a database, as SSD's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe.cli import tools
from caffe.cli.convert_imageset import AT_ONCE, ConvertFlags, datum_of, groups
from caffe.cli.flags import begin
from caffe.errors import CheckError, FileError
from caffe.flags import flag, flag_table, parse_flags
from caffe.glog import log

_PROGRAM = "convert_annoset"


@dataclass
class AnnosetFlags(ConvertFlags):
    """The flags of `convert_annoset`."""

    anno_type: str = flag(
        "classification", "The type of annotation {classification, detection}."
    )
    label_type: str = flag("xml", "The type of annotation file format {xml, txt}.")
    label_map_file: str = flag("", "A file with LabelMap protobuf message.")
    check_label: bool = flag(
        False, "When this option is on, check that there is no duplicated name/label."
    )
    min_dim: int = flag(0, "Minimum dimension images are resized to")
    max_dim: int = flag(0, "Maximum dimension images are resized to")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image is brought to."""
        least, most = min(height, width), max(height, width)
        factor = 1.0
        if self.min_dim > least:
            factor = self.min_dim / least
        if self.max_dim > 0 and int(factor * most) > self.max_dim:
            factor = self.max_dim / most
        return super().size(round(factor * height), round(factor * width))


_USAGE = f"""\
Convert a set of images and annotations to the leveldb/lmdb format used as input for
SSD's layer AnnotatedData.
Usage:
    convert_annoset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME

A line of LISTFILE is the name of an image, a space, and the name of its annotation:
for -anno_type detection an XML file of Pascal VOC, or with -label_type txt a text file
with a box a line (label, left, top, right, bottom in pixels); else a whole number.

  Flags:
{flag_table(AnnosetFlags)}

example:
  convert_annoset -anno_type detection -label_map_file labelmap.prototxt -encoded \\
    VOC2007/ trainval.txt trainval_lmdb"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; default: the process's."""
    return tools.run(_PROGRAM, _USAGE, _work, arguments)


def _work(words: list[str]) -> None:
    flags, names = parse_flags(AnnosetFlags, words)
    if begin(flags):
        return
    if len(names) != 3:
        raise CheckError(
            f"{len(names)} arguments; expected ROOTFOLDER/ LISTFILE DB_NAME "
            "(--help shows an example)"
        )
    _check(flags)
    root, source, path = names
    from caffe.dialects.ssd import annosets
    from caffe.engine.sources.databases import new_database

    labels: dict[str, int] = {}
    if flags.anno_type == "detection" and flags.label_type == "xml":
        labels = annosets.read_label_map(flags.label_map_file, check=flags.check_label)
    lines = _read_list(source)
    if flags.shuffle:
        import numpy as np

        log("convert_annoset.cpp:98", "Shuffling data")
        np.random.default_rng().shuffle(lines)
    log("convert_annoset.cpp:101", f"A total of {len(lines)} images.")
    with new_database(flags.backend, path, log) as writer:
        count = 0
        for records in groups(_records(root, lines, flags, labels)):
            writer.write(records)
            count += len(records)
            line = 197 if len(records) == AT_ONCE else 203
            log(f"convert_annoset.cpp:{line}", f"Processed {count} files.")
        if count == 0:
            raise FileError(f"{source}: none of its {len(lines)} images could be read")


def _check(flags: AnnosetFlags) -> None:
    known = {
        "anno_type": ("classification", "detection"),
        "label_type": ("xml", "txt"),
    }
    for name, values in known.items():
        value = getattr(flags, name)
        if value not in values:
            raise CheckError(f"-{name} {value}: expected {' or '.join(values)}")
    boxes = flags.anno_type == "detection" and flags.label_type == "xml"
    if boxes and not flags.label_map_file:
        raise CheckError(
            "-label_map_file is not given: expected one for -label_type xml"
        )


def _read_list(source: str) -> list[tuple[str, str]]:
    """Names of images and of what is said of each."""
    from caffe.proto.text import read_bytes

    found = []
    text = read_bytes(source).decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and len(words) != 2:
            raise FileError(
                f"{source}: line {number} is {line!r}: expected an image and its "
                "annotation, without blanks in their names"
            )
        if words:
            found.append((words[0], words[1]))
    if not found:
        raise FileError(f"{source}: File is empty: an image and its annotation a line")
    return found


def _records(
    root: str,
    lines: list[tuple[str, str]],
    flags: AnnosetFlags,
    labels: dict[str, int],
) -> Iterator[tuple[bytes, bytes]]:
    from caffe.engine.sources import images
    from caffe.proto import caffe_pb2

    size: int | None = None
    for number, (name, annotation) in enumerate(lines):
        try:
            datum = datum_of(root + name, name, flags)
        except FileError as error:
            log("io.cpp:80", f"Could not open or find file {error}", "E")
            continue
        if flags.check_size:
            size = len(datum.data) if size is None else size
            if len(datum.data) != size:
                raise FileError(
                    f"{root}{name}: Incorrect data field size {len(datum.data)}; "
                    f"expected {size}, the size of the first image"
                )
        if flags.anno_type == "classification":
            record = caffe_pb2.AnnotatedDatum()
            datum.label = _number(annotation, name)
        else:
            pixels = images.read(root + name)
            record = _boxes(root + annotation, pixels.shape, flags, labels)
            datum.label = -1
        record.datum.CopyFrom(datum)
        key = f"{number:08d}_{name}".encode(errors="surrogateescape")
        yield key, record.SerializeToString()


def _boxes(
    path: str, shape: tuple[int, ...], flags: AnnosetFlags, labels: dict[str, int]
) -> Any:
    """AnnotatedDatum of an annotation file; one that is not there has no boxes."""
    from caffe.dialects.ssd import annosets

    if not Path(path).is_file():
        return annosets.annotated([], (shape[1], shape[0]), path)
    if flags.label_type == "txt":
        return annosets.read_plain(path, (shape[1], shape[0]))
    return annosets.read_voc(path, labels)


def _number(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CheckError(
            f"{name}: label {text!r}: expected a whole number, or -anno_type detection"
        ) from None
