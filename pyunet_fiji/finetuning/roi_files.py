"""Read ROIs and pictures that ImageJ stored: overlays of TIFF, ``.roi``, ``.zip``.

The package roifile understands ROIs: ``pip install pyunet[fiji]``.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.data.images import TIFF
from pyunet.errors import DataError
from pyunet.tiffs import check_images, opened_tiff

ROI_FILES = (".roi", ".zip")
PICTURE = "IMAGE"
TIFF_HEADS = (b"MM\x00*", b"II*\x00")
MOST_STRETCHED = 15
MOST_BYTES = 1 << 28  # of a packed ROI


class Overlay(NamedTuple):
    """What lies over an image.

    Attributes
    ----------
    rois : tuple of roifile.ImagejRoi
        In the order in which they are drawn; empty where there is a picture.
    picture : ndarray, shape (1, slices, Y, X), or None
        A label image. ImageJ stretches numbers 0..m of 16 bits over 0..255 when it
        makes a picture of them; for m up to 15 that is undone.
    """

    rois: tuple[Any, ...]
    picture: NDArray[Any] | None = None


def read_overlay(path: str | Path) -> Overlay | None:
    """Read what lies over an image.

    Parameters
    ----------
    path : str or Path
        ``.roi``, ``.zip``, or an image.

    Returns
    -------
    Overlay or None
        None for an image that has none.

    Raises
    ------
    DataError
        No such file, a damaged one, a ``.zip`` without ROI; pictures beside areas or of
        several sizes; the package roifile is not installed.
    """
    path = Path(path)
    with reading(path):
        stored = _stored(path)
    if not stored:
        if path.suffix.lower() in ROI_FILES:
            raise DataError(f"{path}: has no ROI")
        return None
    read = _roifile().ImagejRoi.frombytes
    with reading(path, "a ROI cannot be read"):
        rois = tuple(read(each) for each in stored)
        pictures = [
            (roi.t_position, roi.z_position, roi.position, number)
            for number, roi in enumerate(rois)
            if roi.subtype.name == PICTURE
        ]
    if not pictures:
        return Overlay(rois)
    if len(pictures) < len(rois):
        raise DataError(
            f"{path}: {len(pictures)} picture(s) in the overlay beside "
            f"{len(rois) - len(pictures)} other ROI(s); expected only one kind"
        )
    planes = [_decoded(stored[number], path) for *_, number in sorted(pictures)]
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1 or planes[0].ndim != 2:
        raise DataError(
            f"{path}: pictures of {sorted(shapes)} pixels in the overlay; "
            "expected grey ones of one size"
        )
    return Overlay((), _unstretched(np.stack(planes)[None]))


def _stored(path: Path) -> list[bytes]:
    """Give the bytes of each ROI of a file."""
    suffix = path.suffix.lower()
    if suffix == ".roi":
        return [path.read_bytes()]
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".roi")]
            return [archive.open(name).read(MOST_BYTES) for name in names]
    if suffix not in TIFF:
        return []
    with opened_tiff(path) as tiff:
        overlay = (tiff.imagej_metadata or {}).get("Overlays") or []
    return [overlay] if isinstance(overlay, bytes) else list(overlay)


def _decoded(roi: bytes, path: Path) -> NDArray[Any]:
    """Read the TIFF file within a ROI."""
    starts = [place for head in TIFF_HEADS if (place := roi.find(head)) >= 0]
    if not starts:
        raise DataError(f"{path}: a picture of the overlay is no TIFF image")
    where = f"{path}, a picture of its overlay"
    with opened_tiff(where, io.BytesIO(roi[min(starts) :])) as tiff:
        check_images(where, tiff)
        return np.asarray(tiff.asarray())


def _unstretched(picture: NDArray[Any]) -> NDArray[Any]:
    """Undo what ImageJ does to few numbers: v of 0..m becomes 256 v / (m + 1)."""
    if picture.dtype != np.uint8:
        return picture
    for count in range(3, MOST_STRETCHED + 2):
        levels = np.arange(count) * 256 // count
        if np.isin(picture, levels).all():
            return np.searchsorted(levels, picture)
    return picture


def _roifile() -> Any:
    try:
        import roifile
    except ImportError as error:
        raise DataError(
            "roifile, which reads ImageJ's ROIs, is not installed: pip install "
            "pyunet[fiji]"
        ) from error
    return roifile
