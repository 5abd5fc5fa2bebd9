"""PNG, JPEG and other pictures from outside, read with Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pyunet.boundary import check_held, check_memory, reading
from pyunet.errors import DataError


def read_picture(
    file: Path,
    kinds: tuple[str, ...],
    plain: Callable[[Image.Image], Image.Image],
    content: io.BytesIO | None = None,
) -> NDArray[Any]:
    """Read a picture as one slice (1, C, Y, X).

    Parameters
    ----------
    file : Path
    kinds : tuple of str
        Formats, as Pillow names them; what the file is decides, not its name.
    plain : callable
        Converts it to a mode of Pillow's whose values are kept, as `with_colours` does.
    content : BytesIO, optional
        The file's unpacked content, which is read instead of the file.

    Raises
    ------
    DataError
        None of these formats, or damaged.
    """
    with reading(file), _opened_picture(file, kinds, content) as image:
        claimed = image.width * image.height * len(image.getbands())
        check_held(file, claimed, file.stat().st_size)
        check_memory(file, claimed)
        converted = plain(image)
    array = np.asarray(converted)
    if converted.mode == "I":
        array = array.astype(np.uint16)
    return array[None, None] if array.ndim == 2 else array.transpose(2, 0, 1)[None]


def _opened_picture(
    file: Path, kinds: tuple[str, ...], content: io.BytesIO | None
) -> Image.Image:
    try:
        return Image.open(content or file, formats=kinds)
    except UnidentifiedImageError as error:
        raise DataError(f"{file}: is no {' or '.join(kinds)} image") from error


def with_colours(image: Image.Image) -> Image.Image:
    """Convert a picture to grey, or to red, green and blue."""
    return image.convert("RGB") if image.mode == "P" else with_numbers(image)


def with_numbers(image: Image.Image) -> Image.Image:
    """Convert a picture to grey, to the numbers of its palette, or to colours."""
    if image.mode in ("1", "LA"):
        return image.convert("L")
    if image.mode in ("RGBA", "CMYK", "YCbCr"):
        return image.convert("RGB")
    return image.copy()
