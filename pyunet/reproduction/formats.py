"""Read one file of a data set, whatever its format, as ``(C, [Z,] Y, X)``."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as xml  # noqa: N813

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from pyunet.errors import DataError

Array = NDArray[Any]
DAMAGE = (
    OSError, ValueError, KeyError, IndexError, RuntimeError, struct.error, zlib.error,
    EOFError, xml.ParseError, UnidentifiedImageError,
)  # fmt: skip
META_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2",
    "MET_UINT": "u4", "MET_INT": "i4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
GZIP = ".gz"


def read_array(path: Path, *, name: str = "", indices: bool = False) -> Array:
    """Read a file.

    PNG, JPEG, GIF, BMP, PPM and PGM, also gzipped; TIFF, stacks being volumes; NIfTI
    (needs nibabel) and MetaImage as volumes of one channel, Z first; ``.npy``,
    ``.npz``, MATLAB and HDF5 arrays; Aperio's XML as numbered regions.

    Parameters
    ----------
    path : Path
    name : str
        The array of an ``.npz``, ``.mat`` or HDF5 file; default: its only one.
    indices : bool, default False
        Give the numbers of a picture with a palette, not its colours.

    Returns
    -------
    ndarray, shape (C, [Z,] Y, X)

    Raises
    ------
    DataError
        A format that is not known, a damaged file, a package that is missing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.gif")
    ...     Image.new("L", (4, 3), 7).save(path)
    ...     read_array(path).shape
    (1, 3, 4)
    """
    kind = path.suffix.lower()
    if kind == GZIP:
        kind = Path(path.stem).suffix.lower()
    try:
        if kind in ARRAYS:
            array = np.asarray(ARRAYS[kind](path, name))
        elif kind in VOLUMES:
            array = VOLUMES[kind](path)
        else:
            array = _picture(path, indices)
    except DataError:
        raise
    except DAMAGE as error:
        known = ", ".join(sorted({".png", ".jpg", ".gif", ".bmp", ".ppm", ".pgm",
                                  *ARRAYS, *VOLUMES}))  # fmt: skip
        raise DataError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); accepted are "
            f"whole files of {known}"
        ) from error
    if array.dtype.kind not in "uifb" or not array.size:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}; accepted are numbers"
        )
    return array.astype(np.uint8) if array.dtype == bool else array


def _picture(path: Path, indices: bool) -> Array:
    with Image.open(_opened(path)) as image:
        if image.mode == "P" and not indices:
            image = image.convert("RGB" if _is_coloured(image) else "L")
        elif image.mode in ("1", "CMYK", "YCbCr", "PA", "LA", "HSV"):
            image = image.convert({"1": "L", "LA": "L"}.get(image.mode, "RGB"))
        array = np.asarray(image)
    return (
        np.ascontiguousarray(np.moveaxis(array, -1, 0))
        if array.ndim == 3
        else array[None]
    )


def _is_coloured(image: Image.Image) -> bool:
    colours = np.array(image.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return bool((colours != colours[:, :1]).any())


def _opened(path: Path) -> Any:
    if path.suffix.lower() == GZIP:
        return io.BytesIO(gzip.decompress(path.read_bytes()))
    return path


def _tiff(path: Path) -> Array:
    from pyunet.data.images import read_stack

    stack = read_stack(path, palette_as_index=True).array
    return stack[0] if len(stack) == 1 else stack.swapaxes(0, 1)


def _nifti(path: Path) -> Array:
    nibabel = _package("nibabel", "nifti")
    try:
        volume = np.asarray(nibabel.load(path).dataobj)
    except nibabel.filebasedimages.ImageFileError as error:
        raise DataError(f"{path}: is no NIfTI file") from error
    # x, y, z in the file
    return np.ascontiguousarray(volume.reshape(*volume.shape[:2], -1).T)[None]


def _meta_image(path: Path) -> Array:
    """Read the header and raw (or zlib) data of ITK's MetaImage."""
    raw = path.read_bytes()
    head, body = raw, b""
    at = raw.find(b"ElementDataFile")
    if at >= 0:
        end = raw.index(b"\n", at) + 1 if b"\n" in raw[at:] else len(raw)
        head, body = raw[:end], raw[end:]
    lines = (line.split("=", 1) for line in head.decode("latin-1").splitlines())
    field = {words[0].strip(): words[1].strip() for words in lines if len(words) == 2}
    if field["ElementDataFile"] != "LOCAL":
        body = (path.parent / field["ElementDataFile"]).read_bytes()
    if field.get("CompressedData", "False") == "True":
        body = zlib.decompress(body)
    size = [int(number) for number in field["DimSize"].split()]
    order = ">" if field.get("BinaryDataByteOrderMSB", "False") == "True" else "<"
    kind = np.dtype(order + META_TYPES[field["ElementType"]])
    volume = np.frombuffer(body, kind).reshape(size[::-1])
    return volume.astype(kind.newbyteorder("="))[None]


def _aperio(path: Path) -> Array:
    """Draw the outlines of Aperio's XML, each with its number, as large as they reach.

    The picture's size is not in the file: `fit` brings it to that of the image.
    """
    tree = xml.fromstring(path.read_text(encoding="utf-8", errors="replace"))
    outlines = [
        [
            (float(vertex.attrib["X"]), float(vertex.attrib["Y"]))
            for vertex in region.iter("Vertex")
        ]
        for region in tree.iter("Region")
    ]
    outlines = [outline for outline in outlines if len(outline) > 2]
    if not outlines:
        raise DataError(f"{path}: has no region with an outline")
    width, height = (
        int(max(point[axis] for outline in outlines for point in outline)) + 1
        for axis in (0, 1)
    )
    canvas = Image.new("I", (width, height))
    for number, outline in enumerate(outlines, 1):
        ImageDraw.Draw(canvas).polygon(outline, fill=number)
    return np.asarray(canvas, np.int32)[None]


def fit(labels: Array, size: tuple[int, ...]) -> Array:
    """Cut an array at its far ends, or add zeros there, so that it has a size.

    >>> fit(np.ones((1, 2, 3), int), (3, 2)).tolist()
    [[[1, 1], [1, 1], [0, 0]]]
    """
    parts: tuple[slice, ...] = (slice(None), *map(slice, size))
    cut = labels[parts]
    wanted = zip(size, cut.shape[1:], strict=True)
    return np.pad(cut, [(0, 0), *((0, want - has) for want, has in wanted)])


def _numpy(path: Path, name: str) -> Array:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return _channels_first(loaded)
    with loaded:
        return _channels_first(loaded[_only(path, list(loaded), name)])


def _matlab(path: Path, name: str) -> Array:
    from scipy import io as matlab

    arrays = {
        key: value
        for key, value in matlab.loadmat(path).items()
        if isinstance(value, np.ndarray) and not key.startswith("__")
    }
    return _channels_first(arrays[_only(path, list(arrays), name)])


def _hdf5(path: Path, name: str) -> Array:
    import h5py

    with h5py.File(path, "r") as file:
        found: list[str] = []
        file.visititems(
            lambda key, item: (
                found.append(key) if isinstance(item, h5py.Dataset) else None
            )
        )
        array = np.asarray(file[_only(path, found, name)][()])
        return array[None] if array.ndim in (2, 3) else array


def _only(path: Path, found: list[str], name: str) -> str:
    if name in found:
        return name
    if name or len(found) != 1:
        wanted = f"'{name}'" if name else "one array"
        raise DataError(
            f"{path}: has {', '.join(found) or 'no array'}; accepted is {wanted}"
        )
    return found[0]


def _channels_first(array: Array) -> Array:
    """Take (Y, X), (Y, X, 3 or 4) and (Z, Y, X)."""
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        return np.moveaxis(array, -1, 0)
    return array[None] if array.ndim in (2, 3) else array


def _package(name: str, extra: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"{name} is not installed: pip install pyunet[{extra}]"
        ) from error


ARRAYS: dict[str, Callable[[Path, str], Array]] = {
    ".npy": _numpy, ".npz": _numpy, ".mat": _matlab,
    ".h5": _hdf5, ".hdf5": _hdf5, ".hdf": _hdf5,
}  # fmt: skip
VOLUMES: dict[str, Callable[[Path], Array]] = {
    ".tif": _tiff, ".tiff": _tiff, ".nii": _nifti, ".mhd": _meta_image,
    ".mha": _meta_image, ".xml": _aperio,
}  # fmt: skip
