"""Read a file or folder image by image; unreadable files become findings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.data.images import ACCEPTED, image_files, read_image_file
from pyunet.errors import DataError
from pyunet_checks.findings import Finding

FEW = 4


@dataclass
class Picture:
    """One slice.

    Attributes
    ----------
    name : str
        For messages: the file, with the slice's number if it has several.
    array : ndarray, shape (C, Y, X)
        As stored.
    file : Path
    """

    name: str
    array: NDArray[Any]
    file: Path

    @cached_property
    def plane(self) -> NDArray[np.float32]:
        """Mean of the channels, (Y, X); NaN counts as 0."""
        mean = self.array.astype(np.float32).mean(axis=0)
        return np.asarray(np.nan_to_num(mean, posinf=0, neginf=0))

    @cached_property
    def numbers(self) -> NDArray[Any]:
        """First channel, (Y, X): what a label image says."""
        return np.ascontiguousarray(self.array[0])

    @cached_property
    def values(self) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Different values of the first channel, and how often each occurs."""
        return np.unique(self.numbers, return_counts=True)

    @cached_property
    def digest(self) -> bytes:
        """Equal for equal pictures."""
        head = f"{self.array.shape}{self.array.dtype}".encode()
        content = np.ascontiguousarray(self.array).tobytes()
        return hashlib.sha256(head + content).digest()

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width in pixels."""
        return tuple(self.array.shape[1:])


@dataclass
class Source:
    """All slices of a path.

    Attributes
    ----------
    path : Path
    role : str
        "images", "labels", "weights", "test images" or "test labels".
    pictures : list of Picture
    findings : list of Finding
        What could not be read.
    """

    path: Path
    role: str
    pictures: list[Picture] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """Files that were read."""
        return list(dict.fromkeys(picture.file for picture in self.pictures))


def read_source(path: Path, role: str, part: slice | None = None) -> Source:
    """Read a file, folder or pattern; errors become findings.

    Parameters
    ----------
    path : Path
    role : str
        What it is, for messages.
    part : slice, optional
        Slices to keep.
    """
    source = Source(path, role)
    try:
        files = image_files(path)
    except DataError as error:
        kind = "empty" if path.is_dir() else "missing"
        source.findings.append(
            Finding(kind, f"{role} {path}", str(error).partition(": ")[2])
        )
        return source
    for file in files:
        try:
            array, _ = read_image_file(file, palette_as_index="label" in role)
        except DataError as error:
            what = str(error).partition(": ")[2].partition("; expected")[0]
            source.findings.append(
                Finding("unreadable", f"{role} {file}", f"{what} ({ACCEPTED})")
            )
            continue
        several = len(array) > 1
        source.pictures += [
            Picture(f"{file}[{number}]" if several else str(file), plane, file)
            for number, plane in enumerate(array)
        ]
    source.pictures = source.pictures[part or slice(None)]
    return source


def check_files(images: Source, labels: Source) -> list[Finding]:
    """Find pairs that do not fit: number, names, sizes.

    Parameters
    ----------
    images, labels : Source
        Labels, or weights.
    """
    findings = _count(images, labels)
    if not findings:
        findings += _names(images.files, labels.files, labels.role)
    findings += _pair_sizes(images, labels)
    shared = {p.digest for p in images.pictures} & {p.digest for p in labels.pictures}
    equal = [p.name for p in labels.pictures if p.digest in shared]
    if equal and len(equal) > len(labels.pictures) // 2:
        findings.append(
            Finding(
                "same-as-labels",
                f"{labels.role} {labels.path}",
                f"{len(equal)} of {len(labels.pictures)} are equal to {images.role}",
            )
        )
    return findings


def _count(images: Source, labels: Source) -> list[Finding]:
    counts = len(images.pictures), len(labels.pictures)
    if counts[0] == counts[1]:
        return []
    is_stack = 1 in counts and max(counts) > 1
    return [
        Finding(
            "stack" if is_stack else "count",
            f"{labels.role} {labels.path}",
            f"{counts[1]} for {counts[0]} {images.role} in {images.path}",
        )
    ]


def _names(images: Sequence[Path], labels: Sequence[Path], role: str) -> list[Finding]:
    if len(images) != len(labels) or len(images) < 2:
        return []
    keys = [_keys(files) for files in (images, labels)]
    if not set(keys[0]) & set(keys[1]):
        numbers = [all(re.search(r"\d", "".join(key)) for key in side) for side in keys]
        if not all(numbers):
            return []
    wrong = [
        (image, label)
        for image, label, *key in zip(images, labels, *keys, strict=True)
        if key[0] != key[1]
    ]
    return [
        Finding("names", f"{role} {label}", f"stands beside {image.name}")
        for image, label in wrong
    ]


def _keys(files: Sequence[Path]) -> list[tuple[str, ...]]:
    """Give what tells the files of a folder apart, numbers without leading zeros.

    >>> _keys([Path("im_01L_seg2.png"), Path("im_02R_seg2.png")])
    [('1', 'l'), ('2', 'r')]
    """
    split = [re.findall(r"\d+|[a-z]+", file.stem.lower()) for file in files]
    pieces = [[p.lstrip("0") or p[:1] for p in key] for key in split]
    while all(pieces) and len({key[0] for key in pieces}) == 1:
        pieces = [key[1:] for key in pieces]
    while all(pieces) and len({key[-1] for key in pieces}) == 1:
        pieces = [key[:-1] for key in pieces]
    return [tuple(key) for key in pieces]


def _pair_sizes(images: Source, labels: Source) -> list[Finding]:
    findings = []
    for image, label in zip(images.pictures, labels.pictures, strict=False):
        if image.size == label.size:
            continue
        what = f"{_text(label.size)} pixels, but {image.name} has {_text(image.size)}"
        turned = image.size == label.size[::-1]
        if turned:
            what += ": rows and columns are exchanged"
        kind = "axes" if turned or _permuted(images, labels) else "sizes"
        findings.append(Finding(kind, f"{labels.role} {label.name}", what))
    return findings


def _permuted(images: Source, labels: Source) -> bool:
    """Whether both are stacks of the same extents in another order."""
    shapes = [
        (len(source.pictures), *source.pictures[0].size) for source in (images, labels)
    ]
    return shapes[0] != shapes[1] and sorted(shapes[0]) == sorted(shapes[1])


def check_kind(source: Source) -> list[Finding]:
    """Find pictures of one set that are of different kinds, or of impossible shape."""
    pictures = source.pictures
    findings = []
    for picture in pictures:
        if min(picture.size) <= FEW < max(picture.size) // 4:
            what = f"is {_text(picture.size)} pixels"
            findings.append(Finding("axes", f"{source.role} {picture.name}", what))
            return findings
    for kind, values in (
        ("mixed-sizes", [f"{_text(p.size)} pixels" for p in pictures]),
        ("mixed-colour", [f"{len(p.array)} channel(s)" for p in pictures]),
        ("mixed-depth", [f"{p.array.dtype}" for p in pictures]),
    ):
        usual = max(dict.fromkeys(values), key=values.count, default="")
        findings += [
            Finding(kind, f"{source.role} {p.name}", f"{text}, the others {usual}")
            for p, text in zip(pictures, values, strict=True)
            if text != usual
        ]
    return findings


def _text(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
