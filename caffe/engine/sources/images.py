"""Images as OpenCV gives them to Caffe, and Caffe's lists of images.

Arrays are (height, width, channels) in uint8; colours are blue, green, red.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from caffe import atomic
from caffe.engine.sources import resizing
from caffe.errors import CheckError, FileError
from caffe.glog import log
from caffe.images import FORMATS, check_claim, quiet_libtiff
from caffe.proto.text import check_pointer

Pixels = NDArray[np.uint8]

# Weights of blue, green and red in grey, the bits they have, and what is added before
# these are cut off: libpng's, which decodes to grey itself, and two of OpenCV's.
_GREY_FINE = (3735, 19235, 9798, 15, 1 << 14)
_GREY_OF = {
    "PNG": (3737, 19234, 9797, 15, 0),
    "JPEG2000": _GREY_FINE,
    "WEBP": _GREY_FINE,
}
_GREY = (1868, 9617, 4899, 14, 1 << 13)


def decode(raw: bytes, color: bool | None = True) -> Pixels:
    """Pixels of an image file's bytes.

    Parameters
    ----------
    raw : bytes
    color : bool or None
        True: 3 channels; False: 1, grey; None: as many as the file has (with
        transparency as a last one).

    Returns
    -------
    array of shape (height, width, channels), uint8
        Deeper grey values lose their lower bits, unless `color` is None.

    Raises
    ------
    CheckError
        If the bytes are no image, or of a kind that Caffe refuses.
    """
    quiet_libtiff()
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            check_claim(image.width * image.height, raw)
            return _pixels(image, color)
    except CheckError:
        raise
    except Exception as error:  # each of pillow's decoders has errors of its own
        text = " ".join(str(error).split()).replace(" <_io.BytesIO object at", "")
        raise CheckError(f"is no image, or a damaged one ({_brief(text)})") from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Bytes of a file.

    Raises
    ------
    FileError
        If the file can't be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path!s}: Could not load it: {atomic.reason(error)}"
        ) from None


def read(path: str | os.PathLike[str], color: bool | None = True) -> Pixels:
    """Pixels of an image file; see `decode`.

    Raises
    ------
    FileError
        If the file can't be read or is no image.
    """
    raw = read_bytes(path)
    check_pointer(path, raw)
    try:
        return decode(raw, color)
    except CheckError as error:
        raise FileError(f"{path}: {error}") from None


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Bilinear change of size with OpenCV's integer arithmetic.

    Nothing is smoothed before, as ``cv::resize`` does it by default.

    Parameters
    ----------
    image : array of shape (h, w, channels), uint8
    height, width : int
        Above 0.

    Examples
    --------
    >>> resize(np.array([[[0], [100]]], np.uint8), 1, 4)[0, :, 0].tolist()
    [0, 25, 75, 100]
    """
    resized: Pixels = resizing.resize(image, (width, height))
    return resized


def resize_nearest(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Change of size that takes the nearest pixel before, as OpenCV's INTER_NEAREST.

    Examples
    --------
    >>> resize_nearest(np.array([[[0], [100]]], np.uint8), 1, 4)[0, :, 0].tolist()
    [0, 0, 100, 100]
    """
    rows, columns = (
        (np.arange(new) * (1.0 / (new / old))).astype(np.int64).clip(max=old - 1)
        for new, old in zip((height, width), image.shape[:2], strict=True)
    )
    chosen: NDArray[Any] = image[rows[:, None], columns]
    return chosen


def encode(image: Pixels, kind: str, quality: int = 95) -> bytes:
    """Bytes of an image file.

    Parameters
    ----------
    image : array of shape (height, width, 1 or 3), uint8
    kind : str
        File name extension, such as ``png`` or ``jpg``.
    quality : int, default 95
        Of a JPEG.

    Raises
    ------
    CheckError
        If no encoder has this extension.
    """
    known = Image.registered_extensions()
    name = known.get(f".{kind}")
    if name not in FORMATS:
        expected = sorted(key[1:] for key, value in known.items() if value in FORMATS)
        raise CheckError(
            f"encoding '{kind}' is unknown: expected one of {', '.join(expected)}"
        )
    pixels = image[:, :, 0] if image.shape[2] == 1 else image[:, :, ::-1]
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": quality} if name == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, name, **options)
    return file.getvalue()


def read_list(source: str) -> list[tuple[str, int]]:
    """Read a list of images: a line is a name, a space, and a whole number.

    As in Caffe the last space counts, so that names may have spaces, and what is no
    whole number is label 0, or what it begins with: a warning names the first such
    line. Empty lines are left out, and what can't be seen: a byte order mark, blanks at
    the end of a line.

    Raises
    ------
    FileError
        If the file can't be read or names nothing.
    """
    found, odd = [], []
    for row, line in enumerate(_lines(source), 1):
        name, space, label = line.rstrip(" \t\r").rpartition(" ")
        if name or label:
            found.append((name if space else label, as_number(label)))
            if not re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", label):
                odd.append((row, label, found[-1][1]))
    if odd:
        row, label, number = odd[0]
        log(
            "image_data_layer.cpp:40",
            f"{source}: {len(odd)} labels are no whole numbers: line {row} has "
            f"'{label[:40]}', which counts as {number}, as in C++ Caffe",
            "W",
        )
    if not found:
        raise FileError(f"{source}: File is empty: an image and its label a line")
    return found


def read_pairs(source: str, *, single: bool = False) -> list[tuple[str, str]]:
    """Read a list of images and their labels: two names a line, without blanks.

    Parameters
    ----------
    source : str
    single : bool
        A line needs no second name, which then is "".

    Raises
    ------
    FileError
        If the file can't be read, names nothing, or has a line of one name.
    """
    found = []
    for row, line in enumerate(_lines(source), 1):
        name, *rest = line.split() or [""]
        if not (rest or single or not name):
            raise FileError(
                f"{source}: line {row} is '{line.strip()[:40]}': expected an image and "
                "its label"
            )
        if name:
            found.append((name, rest[0] if rest else ""))
    if not found:
        raise FileError(f"{source}: File is empty: an image and its label a line")
    return found


def _lines(source: str) -> list[str]:
    """Lines of a text file.

    Raises
    ------
    FileError
        If it can't be read.
    """
    try:
        text = Path(source).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except (OSError, ValueError) as error:
        raise FileError(
            f"{source}: {atomic.reason(error)}: "
            "expected a text file with lines of an image and its label"
        ) from None
    return text.split("\n")


def as_number(text: str) -> int:
    """As C's atoi: the whole number that the text begins with, or 0."""
    found = re.match(r"\s*([+-]?[0-9]{1,9})", text)
    return int(found[1]) if found else 0


def _pixels(image: Any, color: bool | None) -> Pixels:
    rule = _GREY_OF.get(image.format, _GREY)
    if color is False:
        image.draft("L", image.size)  # a JPEG decoder gives the grey values itself
    if color is not None:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        if color is None:
            raise CheckError("Image data type must be unsigned byte: it has 16 bits")
        grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3 if color else 1, axis=2)
    if image.mode in {"I", "F"}:
        raise CheckError(f"Image data type must be unsigned byte: it is {image.mode}")
    if image.mode == "L" and not color:
        return np.array(image)[:, :, None]
    if image.mode == "1" and color is None:
        return np.array(image.convert("L"))[:, :, None]
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # without this pillow warns
    transparent = color is None and image.has_transparency_data
    pixels = np.array(image.convert("RGBA" if transparent else "RGB"))
    pixels[:, :, :3] = pixels[:, :, 2::-1]
    return _grey(pixels, *rule) if color is False else pixels


def _grey(
    pixels: Pixels, blue: int, green: int, red: int, bits: int, half: int
) -> Pixels:
    parts = pixels.astype(np.int32)
    total = blue * parts[:, :, 0] + green * parts[:, :, 1] + red * parts[:, :, 2]
    return ((total + half) >> bits).astype(np.uint8)[:, :, None]


def _brief(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[:most] + "..."
