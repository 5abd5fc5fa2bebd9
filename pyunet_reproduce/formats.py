"""Read one file of a data set, whatever its format, as ``(C, [Z,] Y, X)``."""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any
from xml.etree import ElementTree as xml  # noqa: N813

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pyunet.boundary import SMALL_BYTES, check_held, check_memory, reading
from pyunet.data.picture_files import read_picture
from pyunet.errors import DataError
from pyunet_reproduce.matlab import read_matlab

Array = NDArray[Any]
META_TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2",
    "MET_UINT": "u4", "MET_INT": "i4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
GZIP = ".gz"
DEFLATED = 1032  # times that deflate can make anything smaller
KINDS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".ppm", ".pgm")
NPY: Any = np.lib.format
HEADERS = {(1, 0): NPY.read_array_header_1_0, (2, 0): NPY.read_array_header_2_0}


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
    if kind in ARRAYS:
        with reading(path):
            array = np.asarray(ARRAYS[kind](path, name))
    elif kind in VOLUMES:
        with reading(path):
            array = VOLUMES[kind](path)
    elif kind in PICTURES:
        array = _picture(path, indices)
    else:
        endings = ", ".join([*PICTURES, *ARRAYS, *VOLUMES])
        raise DataError(f"{path}: is of an unknown kind; expected one of {endings}")
    if array.dtype.kind not in "uifb" or not array.size:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}; expected numbers"
        )
    return array.astype(np.uint8) if array.dtype == bool else array


def _picture(path: Path, indices: bool) -> Array:
    packed = path.suffix.lower() == GZIP
    with reading(path):
        content = io.BytesIO(_unzipped(path)) if packed else None
    plain = _with_indices if indices else _with_colours
    return np.ascontiguousarray(read_picture(path, KINDS, plain, content)[0])


def _with_colours(image: Image.Image) -> Image.Image:
    """Bring a palette to what its colours are: grey, or red, green and blue."""
    if image.mode != "P":
        return _with_indices(image)
    colours = np.array(image.getpalette() or [0, 0, 0]).reshape(-1, 3)
    return image.convert("RGB" if (colours != colours[:, :1]).any() else "L")


def _with_indices(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "CMYK", "YCbCr", "PA", "LA", "HSV"):
        return image.convert({"1": "L", "LA": "L"}.get(image.mode, "RGB"))
    return image.copy()


def _unzipped(path: Path) -> bytes:
    """Unpack a whole gzip file, up to what such a file can hold."""
    stored = path.stat().st_size
    most = max(SMALL_BYTES, stored * DEFLATED)
    check_memory(path, min(most, stored * DEFLATED))
    with gzip.open(path) as file:
        content = file.read(most + 1)
    check_held(path, len(content), stored, DEFLATED)
    return content


def _tiff(path: Path) -> Array:
    from pyunet.data.images import read_stack

    stack = read_stack(path, palette_as_index=True).array
    return stack[0] if len(stack) == 1 else stack.swapaxes(0, 1)


def _nifti(path: Path) -> Array:
    nibabel = _package("nibabel", "nifti")
    with nibabel.imageglobals.LoggingOutputSuppressor():
        try:
            image = nibabel.load(path)
        except nibabel.filebasedimages.ImageFileError as error:
            raise DataError(f"{path}: is not a NIfTI file") from error
        _check(path, math.prod(image.shape) * image.get_data_dtype().itemsize)
        volume = np.asarray(image.dataobj)
    # x, y, z in the file
    return np.ascontiguousarray(volume.reshape(*volume.shape[:2], -1).T)[None]


def _check(path: Path, claimed: int) -> None:
    """Refuse an array that the file cannot contain or that does not fit into memory."""
    check_held(path, claimed, path.stat().st_size)
    check_memory(path, claimed)


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
    size = [int(number) for number in field["DimSize"].split()]
    order = ">" if field.get("BinaryDataByteOrderMSB", "False") == "True" else "<"
    kind = np.dtype(order + META_TYPES[field["ElementType"]])
    if field.get("CompressedData", "False") == "True":
        claimed = math.prod(size) * kind.itemsize
        check_held(path, claimed, len(body), DEFLATED)
        check_memory(path, claimed)
        body = zlib.decompressobj().decompress(body, claimed)
    volume = np.frombuffer(body, kind).reshape(size[::-1])
    return volume.astype(kind.newbyteorder("="))[None]


def _aperio(path: Path) -> Array:
    """Draw the outlines of Aperio's XML, each with its number, as large as they reach.

    The picture's size is not in the file: `fit` brings it to that of the image.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<!ENTITY" in text:
        raise DataError(f"{path}: defines words of its own, which may never end")
    tree = xml.fromstring(text)
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
    _check(path, width * height * np.dtype(np.int32).itemsize)
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
    lengths = zip(size, cut.shape[1:], strict=True)
    return np.pad(cut, [(0, 0), *((0, want - has) for want, has in lengths)])


def _numpy(path: Path, name: str) -> Array:
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            return _channels_first(_stored_array(path, file, path.stat().st_size))
    with zipfile.ZipFile(path) as archive:
        names = [member.removesuffix(".npy") for member in archive.namelist()]
        member = archive.getinfo(f"{_only(path, names, name)}.npy")
        check_held(path, member.file_size, member.compress_size, DEFLATED)
        with archive.open(member) as stream:
            return _channels_first(_stored_array(path, stream, member.file_size))


def _stored_array(path: Path, file: IO[bytes], size: int) -> Array:
    """Read an array of numpy's format; its size is known before it is made."""
    version = NPY.read_magic(file)
    read = HEADERS.get(version)
    if read is None:
        raise DataError(f"{path}: is of version {version} of numpy's format")
    shape, fortran, kind = read(file)
    claimed = math.prod(shape) * kind.itemsize
    if kind.hasobject or claimed > size or min(shape, default=0) < 0:
        raise DataError(
            f"{path}: says that it holds {kind} of shape {shape}, in {size} bytes"
        )
    check_memory(path, claimed)
    array = np.frombuffer(file.read(claimed), kind)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _matlab(path: Path, name: str) -> Array:
    arrays = read_matlab(path)
    return _channels_first(arrays[_only(path, list(arrays), name)])


def _hdf5(path: Path, name: str) -> Array:
    import h5py

    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(
            lambda key, item: (
                names.append(key) if isinstance(item, h5py.Dataset) else None
            )
        )
        dataset = file[_only(path, names, name)]
        _check(path, dataset.nbytes)
        array = np.asarray(dataset[()])
        return array[None] if array.ndim in (2, 3) else array


def _only(path: Path, names: list[str], name: str) -> str:
    if name in names:
        return name
    if name or len(names) != 1:
        expected = f"'{name}'" if name else "one array"
        raise DataError(
            f"{path}: has {', '.join(names) or 'no array'}; expected {expected}"
        )
    return names[0]


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
