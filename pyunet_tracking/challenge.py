"""Files of the Cell Tracking Challenge: masks and the table of tracks.

A result is a folder with one mask a frame, ``mask000.tif``, ``mask001.tif``, ...
(uint16, 0 is background, an object has the label of its track), and ``res_track.txt``
with a line ``label begin end parent`` for every track: frames are counted from 0, the
end is included, parent 0 is none. <http://celltrackingchallenge.net>
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.tiffs import check_images, opened_tiff

TRACKS = "res_track.txt"
LARGEST_LABEL = 2**16 - 1
MASK = re.compile(r"(?:man_track|mask)(\d+)\.tif")


class Track(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    label : int
        The object's value in the masks, from 1.
    begin, end : int
        First and last frame, from 0.
    parent : int
        Label of the track that it continues; 0: none.
    """

    label: int
    begin: int
    end: int
    parent: int


def mask_name(frame: int) -> str:
    """Name the mask of a frame.

    >>> mask_name(7), mask_name(1000)
    ('mask007.tif', 'mask1000.tif')
    """
    return f"mask{frame:03d}.tif"


def format_tracks(tracks: Iterable[Track]) -> str:
    r"""Write the table of tracks.

    Examples
    --------
    >>> format_tracks([Track(1, 0, 3, 0), Track(2, 5, 6, 1)])
    '1 0 3 0\n2 5 6 1\n'
    """
    return "".join(f"{t.label} {t.begin} {t.end} {t.parent}\n" for t in tracks)


def read_tracks(path: str | Path) -> list[Track]:
    """Read a table of tracks: ``res_track.txt`` or ``man_track.txt``.

    Raises
    ------
    DataError
        A file that is not there; a line that is not four numbers.
    """
    with reading(path):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    tracks = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(word.isdecimal() for word in words):
            raise DataError(
                f"{path}, line {number}: {line!r}; expected four numbers: "
                "label begin end parent"
            )
        tracks.append(Track(*map(int, words)))
    return tracks


def mask_paths(folder: str | Path) -> list[Path]:
    """Find the masks of a result or of a truth, by the numbers of their frames.

    Parameters
    ----------
    folder : str or Path
        With ``mask000.tif`` ... or ``man_track000.tif`` ...

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        No such folder, no mask in it.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with mask000.tif ...")
    matches = [(MASK.fullmatch(path.name), path) for path in place.iterdir()]
    masks = sorted((int(match[1]), path) for match, path in matches if match)
    if not masks:
        raise DataError(f"{folder}: has no mask000.tif, mask001.tif, ...")
    return [path for _, path in masks]


def read_mask(path: str | Path) -> NDArray[np.integer[Any]]:
    """Read one mask.

    Returns
    -------
    ndarray of int, shape ([Z,] Y, X)

    Raises
    ------
    DataError
        A file that is no TIFF image of integers.
    """
    with opened_tiff(path) as tiff:
        check_images(path, tiff)
        mask = tiff.asarray()
    if mask.dtype.kind not in "ui" or mask.ndim not in (2, 3):
        raise DataError(
            f"{path}: has values of type {mask.dtype} and shape {mask.shape}; "
            "expected a mask of integers, (Y, X) or (Z, Y, X)"
        )
    return np.asarray(mask)


def write_mask(path: Path, mask: NDArray[Any]) -> None:
    """Write one mask or volume as a plain TIFF file, in its own type."""
    tifffile.imwrite(path, mask, photometric="minisblack", metadata=None)
