"""TIFF files from outside: opened where their structure holds.

tifffile follows a chain of pages without end, takes memory for any size that a file
claims, and fills with zeros what a file lacks. So the chain is walked first, and before
pixels are read each size is compared with the file's.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import tifffile

from pyunet.boundary import MOST_PACKED, check_held, check_memory, reading, reason
from pyunet.errors import DataError

BITS_PER_SAMPLE = 258
MOST_TAGS = 4096
SUB_PAGES = 330
MOST_SUB_PAGES = 4096
OFFSETS = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # by TIFF's types of numbers
LAST = 2**63 - 1
SIZES = (256, 257, 277, 278, 322, 323, 32997, 32998)  # tags
UNSIGNED = (1, 3, 4, 16)
PLAIN = 1  # TIFF's Compression
GROWN_BITS = 8  # times that samples of single bits grow when they become bytes
ORDERS = {b"II": "<", b"MM": ">"}


class _Layout(NamedTuple):
    """How a kind of TIFF stores numbers: formats of struct, and bytes of an entry."""

    first: str
    tags: str
    entry: int
    offset: str


LAYOUTS = {42: _Layout("4xI", "H", 12, "I"), 43: _Layout("8xQ", "Q", 20, "Q")}


@contextlib.contextmanager
def opened_tiff(
    path: str | Path, content: io.BytesIO | None = None
) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; what goes wrong in the block becomes one line.

    Parameters
    ----------
    path : str or Path
        The file, as messages name it.
    content : BytesIO, optional
        What is read in its place: a TIFF file within the file.

    Raises
    ------
    DataError
        No TIFF file, a damaged one, pages that follow themselves; whatever tifffile
        raises in the block.

    Examples
    --------
    >>> content = io.BytesIO(b"no picture")
    >>> with opened_tiff("a.tif", content) as tiff:
    ...     tiff.asarray()
    Traceback (most recent call last):
    ...
    pyunet.errors.DataError: a.tif: is no TIFF image
    """
    with reading(path):
        try:
            with _bytes_of(path, content) as file:
                _check_pages(path, file)
            with tifffile.TiffFile(path if content is None else content) as tiff:
                if not tiff.series:
                    raise DataError(f"{path}: is a TIFF file without images")
                yield tiff
        except tifffile.TiffFileError as error:
            raise DataError(f"{path}: is no TIFF image: {reason(error)}") from error


def check_images(path: str | Path, tiff: tifffile.TiffFile) -> None:
    """Refuse a file whose pixels are not all there, before memory is taken for them.

    Raises
    ------
    DataError
        More pixels than the file can hold or than there is memory; what `check_series`
        refuses.
    """
    total = sum(check_series(path, tiff, series) for series in tiff.series)
    check_held(path, total, tiff.filehandle.size, MOST_PACKED)
    check_memory(path, total)


def check_series(
    path: str | Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> int:
    """Refuse images that the file does not hold; they may be larger than the memory.

    Returns
    -------
    int
        Bytes that they take.

    Raises
    ------
    DataError
        More pixels than the file can hold, a strip or tile that is missing or lies
        beyond the file's end, samples of no known type.
    """
    key, size = series.keyframe, tiff.filehandle.size
    if key.dtype is None:
        raise DataError(f"{path}: has samples of a type that is not known")
    bits = key.tags.get(BITS_PER_SAMPLE)
    if bits is not None and 1 < bits.count < key.samplesperpixel:
        raise DataError(
            f"{path}: says that a pixel has {key.samplesperpixel} samples, and gives "
            f"the types of {bits.count}"
        )
    packed = GROWN_BITS if key.compression == PLAIN else MOST_PACKED
    check_held(path, series.nbytes, size, packed)
    check_held(path, math.prod(key.chunks) * series.dtype.itemsize, size, packed)
    if series.dataoffset is not None:
        _check_end(path, series.dataoffset + series.nbytes, size)
    else:
        for page in series.pages:
            if page is not None:
                _check_page(path, page, size)
    return int(series.nbytes)


def _check_page(path: str | Path, page: Any, size: int) -> None:
    """Find out whether all strips or tiles of a page are within the file."""
    if page.is_contiguous:
        _check_end(path, page.dataoffsets[0] + page.nbytes, size)
        return
    offsets, counts = page.dataoffsets, page.databytecounts
    wanted, found = math.prod(page.chunked), min(len(offsets), len(counts))
    if found < wanted:
        raise DataError(f"{path}: has {found} strips or tiles of a page's {wanted}")
    # a strip of no bytes is one that the writer left out
    ends = (at + count for at, count in zip(offsets, counts, strict=False) if count)
    _check_end(path, max(ends, default=0), size)


def _check_end(path: str | Path, end: int, size: int) -> None:
    if end > size:
        raise DataError(
            f"{path}: is cut short: its pixels reach to byte {end}, the file has {size}"
        )


@contextlib.contextmanager
def _bytes_of(path: str | Path, content: io.BytesIO | None) -> Iterator[BinaryIO]:
    """Give a file's bytes, or those that stand for it."""
    if content is not None:
        yield content
        content.seek(0)
        return
    with Path(path).open("rb") as file:
        yield file


def _check_pages(path: str | Path, file: BinaryIO) -> None:
    """Walk from page to page: each has to be another one, within the file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = ORDERS.get(head[:2])
    version = int.from_bytes(head[2:4], "big" if order == ">" else "little")
    if order is None or version not in LAYOUTS:
        raise DataError(f"{path}: is no TIFF image")
    layout = LAYOUTS[version]
    chains = [_number(layout.first, order, head)]
    met: set[int] = set()
    while chains:
        at = chains.pop()
        while at:
            if at in met:
                raise DataError(f"{path}: its page at byte {at} follows itself")
            if at >= size:
                raise DataError(
                    f"{path}: is cut short: page {len(met) + 1} begins at byte {at}, "
                    f"the file has {size}"
                )
            met.add(at)
            file.seek(at)
            tags = _number(layout.tags, order, file.read(struct.calcsize(layout.tags)))
            if tags > MOST_TAGS:
                raise DataError(f"{path}: page {len(met)} has {tags} tags, too many")
            entries = file.read(tags * layout.entry)
            at = _number(layout.offset, order, file.read(8))
            _check_types(path, entries, order, layout)
            chains += _pages_within(file, entries, order, layout)


def _check_types(path: str | Path, entries: bytes, order: str, layout: _Layout) -> None:
    """Refuse sizes that may be negative: tifffile then goes backwards without end."""
    for start in range(0, len(entries) - layout.entry + 1, layout.entry):
        code, kind = struct.unpack_from(f"{order}HH", entries, start)
        if code in SIZES and kind not in UNSIGNED:
            raise DataError(
                f"{path}: tag {code}, a size, is of type {kind}; expected "
                "numbers without sign"
            )


def _pages_within(
    file: BinaryIO, entries: bytes, order: str, layout: _Layout
) -> list[int]:
    """Give the places of a page's own pages, of smaller copies most often."""
    wide = struct.calcsize(layout.offset)
    for start in range(0, len(entries) - layout.entry + 1, layout.entry):
        code, kind = struct.unpack_from(f"{order}HH", entries, start)
        if code != SUB_PAGES or kind not in OFFSETS:
            continue
        form = OFFSETS[kind]
        count = _number(layout.offset, order, entries[start + 4 :])
        stored = entries[start + 4 + wide : start + layout.entry]
        if count * struct.calcsize(form) > wide:
            file.seek(min(_number(layout.offset, order, stored), LAST))
            stored = file.read(min(count, MOST_SUB_PAGES) * struct.calcsize(form))
        count = min(count, len(stored) // struct.calcsize(form))
        return list(struct.unpack_from(f"{order}{count}{form}", stored))
    return []


def _number(form: str, order: str, content: bytes) -> int:
    """Read one number; a file that ends there has none, which is 0."""
    wanted = order + form
    if len(content) < struct.calcsize(wanted):
        return 0
    return int(struct.unpack_from(wanted, content)[0])
