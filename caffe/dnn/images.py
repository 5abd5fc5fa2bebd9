"""From images to the blobs that nets take, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.dnn.constants import CV_8U, CV_32F
from caffe.engine.sources.resizing import resize
from caffe.errors import CheckError

_MOST = 4  # numbers of a mean


def blobFromImage(
    image: Any,
    scalefactor: float = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> NDArray[Any]:
    """Make a blob of an image.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, channels)
        1, 3 or 4 channels of bytes or other numbers.
    scalefactor : float, default 1
        What values are multiplied by, after the mean is subtracted.
    size : (width, height), optional
        What the image is resized to; default: it keeps its size.
    mean : float or sequence of up to 4 floats, optional
        Of the channels of the blob; those without one have 0, as in OpenCV.
    swapRB : bool, default False
        Exchange the first and the third channel.
    crop : bool, default False
        Keep the ratio of the sides: resize until both are at least `size`, and cut out
        the middle.
    ddepth : int, default CV_32F
        CV_8U (0) gives bytes; scale and mean must not be given then.

    Returns
    -------
    array of shape (1, channels, height, width)

    Raises
    ------
    CheckError
        If the image is none, or mean, size or ddepth are not as above.

    Examples
    --------
    >>> image = np.uint8([[[1, 2, 3]]])
    >>> blobFromImage(image, 0.5, mean=(1, 0, 0), swapRB=True).ravel().tolist()
    [1.0, 1.0, 0.5]
    """
    return blobFromImages([image], scalefactor, size, mean, swapRB, crop, ddepth)


def blobFromImages(
    images: Sequence[Any] | NDArray[Any],
    scalefactor: float = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    swapRB: bool = False,
    crop: bool = False,
    ddepth: int = CV_32F,
) -> NDArray[Any]:
    """Make a blob of several images, see `blobFromImage`.

    Parameters
    ----------
    images : sequence of array
        Of as many channels and of one type. Without `size` all get that of the first.
    scalefactor, size, mean, swapRB, crop, ddepth
        As for `blobFromImage`.

    Returns
    -------
    array of shape (images, channels, height, width)
    """
    pictures = [_checked(image) for image in images]
    if not pictures:
        raise CheckError("there are no images: expected one or more")
    first = pictures[0]
    for picture in pictures:
        if picture.shape[2] != first.shape[2] or picture.dtype != first.dtype:
            raise CheckError(
                f"images have {picture.shape[2]} channels of {picture.dtype} and "
                f"{first.shape[2]} of {first.dtype}: expected one kind"
            )
    wanted = _size(size) or (first.shape[1], first.shape[0])
    fitted = [_fitted(picture, wanted, crop) for picture in pictures]
    blob = np.stack([picture.transpose(2, 0, 1) for picture in fitted])
    if swapRB and blob.shape[1] > 1:
        blob[:, [0, 2]] = blob[:, [2, 0]]
    means = _means(mean)
    if ddepth == CV_8U:
        if scalefactor != 1 or means.any():
            raise CheckError("a blob of bytes (CV_8U) has neither scale nor mean")
        return _bytes(blob)
    if ddepth != CV_32F:
        raise CheckError(f"ddepth is {ddepth}: expected CV_32F (5) or CV_8U (0)")
    values = np.ascontiguousarray(blob, np.float32)
    if means.any():
        values -= means[: blob.shape[1], None, None]
    if scalefactor != 1:
        values *= np.float32(scalefactor)
    return values


def imagesFromBlob(blob: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Give the images of a blob, channels last; mean and scale stay in them.

    Parameters
    ----------
    blob : array of shape (images, channels, height, width)

    Returns
    -------
    tuple of array
        Of shape (height, width, channels), or (height, width) of a single channel.

    Raises
    ------
    CheckError
        If the blob has other than 4 axes.
    """
    if blob.ndim != 4:
        raise CheckError(f"blob has shape {blob.shape}: expected (N, C, Y, X)")
    single = blob.shape[1] == 1
    return tuple(
        image[0].copy() if single else np.ascontiguousarray(image.transpose(1, 2, 0))
        for image in blob
    )


def _checked(image: Any) -> NDArray[Any]:
    """Give an image as (height, width, channels)."""
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise CheckError(
            f"image has shape {array.shape}: expected (height, width) or (height, "
            "width, channels) of 1, 3 or 4 channels"
        )
    if array.dtype.kind not in "iuf":
        raise CheckError(f"image is of {array.dtype}: expected bytes or floats")
    return array


def _size(size: Sequence[int] | None) -> tuple[int, int] | None:
    """Width and height; None: not given."""
    if size is None or tuple(size) in ((), (0, 0)):
        return None
    width, height = (int(side) for side in size)
    if (width, height) != tuple(size) or min(width, height) < 1:
        raise CheckError(
            f"size is {tuple(size)}: expected whole (width, height) above 0"
        )
    return width, height


def _fitted(image: NDArray[Any], size: tuple[int, int], crop: bool) -> NDArray[Any]:
    """Resize an image, and with `crop` cut its middle out."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    if not crop:
        return resize(image, size)
    old = image.shape[1], image.shape[0]
    zoom = float((np.array(size, np.float32) / np.array(old, np.float32)).max())
    sides = round(old[0] * zoom), round(old[1] * zoom)
    large = resize(image, sides, zoom)
    top, left = (sides[1] - height) // 2, (sides[0] - width) // 2
    return large[top : top + height, left : left + width]


def _means(mean: float | Sequence[float] | None) -> NDArray[np.float32]:
    values = np.ravel([] if mean is None else mean).astype(np.float64)
    if len(values) > _MOST:
        raise CheckError(f"mean has {len(values)} numbers: expected up to {_MOST}")
    found: NDArray[np.float32] = np.zeros(_MOST, np.float32)
    found[: len(values)] = values
    return found


def _bytes(blob: NDArray[Any]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.rint(blob).clip(0, 255).astype(np.uint8)
    return found
