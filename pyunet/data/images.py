"""Read images: TIFF stacks, PNG and other pictures, and folders of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pyunet.data.greys import UnitRange
from pyunet.data.ome import ome_pixel_size
from pyunet.data.picture_files import read_picture, with_colours, with_numbers
from pyunet.errors import DataError
from pyunet.files import followed
from pyunet.tiffs import check_images, opened_tiff

TIFF = (".tif", ".tiff")
PICTURES = {
    ".png": "PNG",
    ".gif": "GIF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".pbm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".ppm": "PPM",
}


@dataclass(frozen=True)
class Resolution:
    """How large a pixel is, as TIFF says it.

    Attributes
    ----------
    x, y : float
        Pixels per unit along the axes X and Y.
    unit : int
        TIFF's ResolutionUnit: 1 none, 2 inch, 3 centimetre.
    unit_name : str or None
        ImageJ's own unit, e.g. ``"micron"``, which goes before ``unit``.
    spacing : float or None
        ImageJ's distance between slices, in that unit.
    """

    x: float
    y: float
    unit: int = 1
    unit_name: str | None = None
    spacing: float | None = None


Image = tuple[NDArray[Any], Resolution | None]


@dataclass(frozen=True)
class ImageStack:
    """Images of one size that belong together.

    Attributes
    ----------
    array : ndarray, shape (N, C, Y, X), or (N, C, Z, Y, X) for volumes
        Slices in the file's own type; C is 1, or 3 for colour.
    name : str
        The file's name without its ending, or the folder's name.
    paths : list of Path
        The files that were read, in order.
    resolution : Resolution or None
        Pixel size as the (first) TIFF file gives it.
    """

    array: NDArray[Any]
    name: str
    paths: list[Path]
    resolution: Resolution | None = None

    @property
    def place(self) -> str:
        """What messages call it: the file, the folder of several, else the name."""
        if not self.paths:
            return self.name
        first = self.paths[0]
        return str(first if len(self.paths) == 1 else first.parent)


def read_stack(path: str | Path, *, palette_as_index: bool = False) -> ImageStack:
    """Read a TIFF file (all its pages), a picture, or a folder of them as one stack.

    Files of a folder are taken in natural order: 2.tif before 10.tif.

    Parameters
    ----------
    path : str or Path
        File, folder, or a pattern such as ``manual/*_1stHO.png``.
    palette_as_index : bool, default False
        Give the numbers of a picture with a palette, not its colours (for labels).

    Returns
    -------
    ImageStack

    Raises
    ------
    DataError
        Nothing there, an empty folder, a file that is no image or damaged, images
        of different sizes, channels or types in one folder.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (10, 2):
    ...         Image.new("L", (4, 3), number).save(f"{folder}/{number}.png")
    ...     stack = read_stack(folder)
    >>> stack.array.shape, stack.array[:, 0, 0, 0].tolist()
    ((2, 1, 3, 4), [2, 10])
    """
    path = Path(path)
    files = image_files(path)
    parts = [read_image_file(f, palette_as_index=palette_as_index) for f in files]
    resolution = next((size for _, size in parts if size), None)
    array = _joined([array for array, _ in parts], files)
    return ImageStack(array, _name_of(path), files, resolution)


def read_volumes(path: str | Path, *, palette_as_index: bool = False) -> ImageStack:
    """Read volumes: a TIFF file holds one, its pages are slices along z.

    A folder (or pattern) of files of one slice each is one volume; of files of several
    slices each is a volume, and all must be of one size.

    Parameters
    ----------
    path, palette_as_index
        As in `read_stack`.

    Returns
    -------
    ImageStack
        Its array has the shape (N, C, Z, Y, X).

    Raises
    ------
    DataError
        As `read_stack`, and for volumes of different sizes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/v.tif", np.zeros((5, 8, 9), np.uint8))
    ...     read_volumes(f"{folder}/v.tif").array.shape
    (1, 1, 5, 8, 9)
    """
    path = Path(path)
    files = image_files(path)
    parts = [read_image_file(f, palette_as_index=palette_as_index) for f in files]
    volumes = [array for array, _ in parts]
    if all(len(array) == 1 for array in volumes):
        volumes = [_joined(volumes, files)]
    for file, array in zip(files, volumes, strict=False):
        if (len(array), *_kind(array)) != (len(volumes[0]), *_kind(volumes[0])):
            raise DataError(
                f"{file}: {len(array)} slices of {_describe(array)}, but {files[0]} "
                f"has {len(volumes[0])} of {_describe(volumes[0])}: all volumes of one "
                "folder must be alike"
            )
    array = np.stack([array.transpose(1, 0, 2, 3) for array in volumes])
    return ImageStack(array, _name_of(path), files, parts[0][1])


def _joined(parts: list[NDArray[Any]], files: list[Path]) -> NDArray[Any]:
    for file, array in zip(files, parts, strict=True):
        if _kind(array) != _kind(parts[0]):
            raise DataError(
                f"{file}: {_describe(array)}, but {files[0]} has "
                f"{_describe(parts[0])}: all images of one folder must be alike"
            )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _name_of(path: Path) -> str:
    return path.stem if path.is_file() else followed(path).name


def to_unit_range(array: NDArray[Any], *, name: str = "images") -> NDArray[np.float32]:
    """Scale grey values to 0..1, as training sets and segmentation both need it.

    uint8 is divided by 255 and uint16 by 65535. Floats inside 0..1 stay as they
    are. Everything else is mapped from its smallest..largest value to 0..1, over
    the whole array, and a log message says so.

    Parameters
    ----------
    array : ndarray
        Any shape, a number type.
    name : str
        What messages call it.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    DataError
        NaN or infinite values; where smallest and largest count, one value everywhere.

    Examples
    --------
    >>> to_unit_range(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    >>> to_unit_range(np.array([-2.0, 0.0, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return UnitRange.of(array.dtype, [array], name=name).apply(array)


def image_files(path: Path) -> list[Path]:
    """List the image files that a path means, in natural order.

    Parameters
    ----------
    path : Path
        File, folder, or a pattern such as ``manual/*_1stHO.png``.

    Raises
    ------
    DataError
        Nothing there, or no image.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        found_files = [Path(name) for name in glob.glob(str(path))]  # noqa: PTH207
        if not found_files:
            raise DataError(f"{path}: no such file or folder; expected {ACCEPTED}")
        return sorted(found_files, key=natural_order)
    visible = [p for p in path.iterdir() if p.is_file() and p.name[0] != "."]
    images = [p for p in visible if p.suffix.lower() in READERS]
    if not images:
        endings = ", ".join(sorted({p.suffix or p.name for p in visible})[:5])
        raise DataError(
            f"{path}: the folder has no TIFF, PNG or other image file"
            + (f", only {endings}" if endings else ": it is empty")
        )
    return sorted(images, key=natural_order)


def natural_order(path: Path) -> list[tuple[bool, int, str]]:
    """Give a sort key by which digits count as numbers.

    Examples
    --------
    >>> names = ["10.tif", "a2.tif", "9.tif", "a10.tif"]
    >>> sorted(names, key=lambda name: natural_order(Path(name)))
    ['9.tif', '10.tif', 'a2.tif', 'a10.tif']
    """
    pieces = [piece for piece in re.split(r"(\d+)", path.name) if piece]
    return [
        (False, int(piece), "") if piece.isdecimal() else (True, 0, piece)
        for piece in pieces
    ]


def read_image_file(file: Path, *, palette_as_index: bool = False) -> Image:
    """Read one file: slices (N, C, Y, X) and the size of their pixels.

    Raises
    ------
    DataError
        No image, of another kind than its name says, or damaged.
    """
    suffix = file.suffix.lower()
    if suffix not in READERS:
        raise DataError(
            f"{file}: is not an image that can be read; expected {ACCEPTED}"
        )
    array, resolution = READERS[suffix](file, palette_as_index)
    if array.dtype.kind not in "uif" or array.size == 0:
        raise DataError(
            f"{file}: has values of type {array.dtype} and shape {array.shape}; "
            "expected integers or floats"
        )
    return array, resolution


def _read_tiff(file: Path, _: bool) -> Image:
    with opened_tiff(file) as tiff:
        kinds = sorted({(s.axes, s.shape, str(s.dtype)) for s in tiff.series})
        if len({(axes[-2:], shape[-2:]) for axes, shape, _ in kinds}) > 1:
            sizes = ", ".join(str(shape) for _, shape, _ in kinds[:3])
            raise DataError(
                f"{file}: pages of different sizes ({sizes}): not one stack"
            )
        check_images(file, tiff)
        parts = [arrange_slices(s.asarray(), s.axes, file) for s in tiff.series]
        return np.concatenate(parts), tiff_resolution(tiff)


def _read_picture(file: Path, palette_as_index: bool) -> Image:
    plain = with_numbers if palette_as_index else with_colours
    return read_picture(file, (PICTURES[file.suffix.lower()],), plain), None


# by the ending of the file's name: what reads slices (N, C, Y, X) and their pixel size
READERS: dict[str, Callable[[Path, bool], Image]] = {
    **dict.fromkeys(TIFF, _read_tiff),
    **dict.fromkeys(PICTURES, _read_picture),
}
ACCEPTED = f"a {', '.join(READERS)} file or a folder of them"


def arrange_slices(array: NDArray[Any], axes: str, file: Path) -> NDArray[Any]:
    """Arrange any TIFF axes as (N, C, Y, X): other axes count slices."""
    colour = [i for i, axis in enumerate(axes) if axis in "CS" and array.shape[i] > 1]
    if len(colour) > 1 or axes.count("Y") != 1 or axes.count("X") != 1:
        raise DataError(f"{file}: axes {axes} of shape {array.shape} are not images")
    plane = [axes.index("Y"), axes.index("X")]
    others = [i for i in range(len(axes)) if i not in (*colour, *plane)]
    moved = array.transpose(*others, *colour, *plane)
    channels = array.shape[colour[0]] if colour else 1
    slices = moved.reshape(-1, channels, *moved.shape[-2:])
    if "S" in axes and channels in (2, 4):
        slices = slices[:, :-1]
    return slices * np.uint8(255) if slices.dtype == bool else slices


def tiff_resolution(tiff: tifffile.TiffFile) -> Resolution | None:
    """Give the pixel size that a TIFF file states."""
    if tiff.ome_metadata and (size_um := ome_pixel_size(tiff.ome_metadata)):
        return Resolution(1 / size_um[2], 1 / size_um[1], 1, "um", size_um[0])
    tags = tiff.pages.first.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    x, y = (
        numerator / denominator if denominator else 0.0
        for numerator, denominator in (
            tags["XResolution"].value,
            tags["YResolution"].value,
        )
    )
    if x <= 0 or y <= 0:
        return None
    unit = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1
    imagej = tiff.imagej_metadata or {}
    spacing = imagej.get("spacing")
    name = imagej.get("unit")
    return Resolution(
        x, y, unit, str(name) if name else None, float(spacing) if spacing else None
    )


def _kind(array: NDArray[Any]) -> tuple[object, ...]:
    return (*array.shape[1:], array.dtype)


def _describe(array: NDArray[Any]) -> str:
    channels, height, width = array.shape[1:]
    return f"{height} x {width} pixels, {channels} channel(s) of {array.dtype}"
