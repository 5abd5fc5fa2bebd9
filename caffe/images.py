"""Reading and preparing images, as pycaffe's ``caffe.io`` does, where the names are."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CheckError, FileError

# Others are not read: some of pillow's formats run programs or fetch files.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_AXES_OF_IMAGE = 3
_CHANNELS_OF_RGB = 3
_BIG_TIFF = 43
_ALL_BELIEVED = 1 << 24  # pixels, whatever the size of the file
_MOST_PACKED = 1 << 15  # pixels that compressions make of a byte


class _ImageError(FileError, OSError):
    """An image file that can't be read; OSError is what pycaffe's scripts expect."""


def load_image(filename: Any, color: bool = True) -> NDArray[np.float32]:
    """Read an image file as numbers from 0 to 1.

    Parameters
    ----------
    filename : path or file
        Of any kind of `FORMATS`.
    color : bool, default True
        True: three channels, also of a grey image. False: one channel. Transparency
        is left out.

    Returns
    -------
    array of shape (height, width, channels), float32

    Raises
    ------
    FileError
        If the file can't be read as an image (also an OSError).
    """
    from skimage.color import rgb2gray
    from skimage.util import img_as_float

    try:
        image = img_as_float(_read(filename))
    except Exception as error:  # each decoder raises errors of its own
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise _ImageError(
            f"{filename}: cannot be read as an image: {reason}"
        ) from error
    if image.ndim == _AXES_OF_IMAGE and image.shape[2] < _CHANNELS_OF_RGB:
        image = image[:, :, 0]  # grey and transparency
    if image.ndim == _AXES_OF_IMAGE:
        image = image[:, :, :_CHANNELS_OF_RGB]
        if not color:
            image = rgb2gray(image)
    if image.ndim != _AXES_OF_IMAGE:
        channels = _CHANNELS_OF_RGB if color else 1
        image = np.tile(image[:, :, np.newaxis], (1, 1, channels))
    pixels: NDArray[np.float32] = image.astype(np.float32)
    return pixels


def check_claim(claimed: int, raw: bytes) -> None:
    """Refuse an image that is far larger than any compression makes of its file.

    Parameters
    ----------
    claimed : int
        Pixels that it says it has.
    raw : bytes
        The file.

    Raises
    ------
    CheckError
    """
    if claimed > max(_ALL_BELIEVED, _MOST_PACKED * len(raw)):
        raise CheckError(f"says that it has {claimed} pixels, in {len(raw)} bytes")


@functools.cache
def quiet_libtiff() -> None:
    """Keep libtiff, which Pillow brings, from writing on the standard error itself.

    It prints a line for each odd tag of a file; the errors arrive as exceptions anyway,
    and Pillow has no switch for it.
    """
    from PIL import _imaging

    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with contextlib.suppress(AttributeError):  # a Pillow that was built without
            handler = getattr(library, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


def _read(file: Any) -> NDArray[Any]:
    """Read the numbers of an image as they are stored; palettes become colors."""
    raw = file.read() if hasattr(file, "read") else Path(file).read_bytes()
    if str(file).lower().endswith((".tif", ".tiff")):
        pixels = _read_tiff(raw)
        planes = pixels.ndim == _AXES_OF_IMAGE and pixels.shape[0] in (3, 4)
        if planes and pixels.shape[-1] not in (3, 4):
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.ndim not in (_AXES_OF_IMAGE - 1, _AXES_OF_IMAGE) or not pixels.size:
            raise CheckError(f"has shape {pixels.shape}, expected 2 or 3 axes")
        return pixels
    from PIL import Image

    quiet_libtiff()
    with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
        check_claim(image.width * image.height, raw)
        grey = image.mode in ("1", "L", "LA", "La")
        if grey or image.mode.startswith(("I", "F")):
            pixels = np.asarray(image.convert("L") if grey else image)
        else:
            pixels = np.asarray(image.convert("RGB"))
    # 16 bits of some formats come as 32
    return pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels


def _read_tiff(raw: bytes) -> NDArray[Any]:
    """Read the numbers of a TIFF file, if tifffile would find an end of it."""
    import tifffile

    order = {b"II": "<", b"MM": ">"}.get(raw[:2])
    if order is None:
        raise CheckError("is no TIFF image")
    big = _number(f"{order}H", raw, 2) == _BIG_TIFF
    offset, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    at, met = _number(order + offset, raw, 8 if big else 4), set()
    while at:  # tifffile would follow pages that follow themselves for ever
        if at in met:
            raise CheckError(f"its page at byte {at} follows itself")
        met.add(at)
        tags = _number(order + count, raw, at)
        at += struct.calcsize(order + count) + tags * entry
        at = _number(order + offset, raw, at)
    with tifffile.TiffFile(io.BytesIO(raw)) as tiff:
        check_claim(sum(int(series.size) for series in tiff.series), raw)
        return np.asarray(tiff.asarray())


def _number(form: str, raw: bytes, at: int) -> int:
    """Read a number at a place; beyond the end of the file stands 0."""
    if at + struct.calcsize(form) > len(raw):
        return 0
    return int(struct.unpack_from(form, raw, at)[0])


def resize_image(
    im: NDArray[Any], new_dims: Sequence[int], interp_order: int = 1
) -> NDArray[np.float32]:
    """Resize an image by interpolation, without smoothing before it is made smaller.

    Parameters
    ----------
    im : array of shape (height, width, channels)
        With 1 or 3 channels pixels are squares, interpolated between their centres,
        and beyond the image lies its smallest value; with any other number the first
        and last pixels' centres stay the first and last, as in pycaffe.
    new_dims : (int, int)
        Height and width.
    interp_order : int, default 1
        Order of the spline: 0 nearest, 1 linear, 3 cubic.

    Returns
    -------
    array of shape (height, width, channels), float32

    Examples
    --------
    >>> resize_image(np.array([[[0.0], [1.0]]]), (1, 4)).ravel().tolist()
    [0.0, 0.25, 0.75, 0.75]
    """
    if im.ndim != _AXES_OF_IMAGE:
        raise CheckError(
            f"an image of shape (height, width, channels) is resized, "
            f"this one has shape {im.shape}"
        )
    if im.shape[-1] not in (1, _CHANNELS_OF_RGB):
        from scipy.ndimage import zoom

        scale = [new / old for new, old in zip(new_dims, im.shape[:2], strict=True)]
        resized: NDArray[Any] = zoom(im, (*scale, 1), order=interp_order)
        return resized.astype(np.float32)
    low, high = im.min(), im.max()
    if high == low:
        return np.full((*new_dims, im.shape[-1]), low, np.float32)
    from skimage.transform import resize

    # in double precision, as the scikit-image of Caffe's days computed
    unit = ((im - low) / (high - low)).astype(np.float64)
    resized = resize(
        unit, tuple(new_dims), order=interp_order, mode="constant", anti_aliasing=False
    )
    resized = resized * (high - low) + low
    return resized.astype(np.float32)


def oversample(
    images: Sequence[NDArray[Any]] | NDArray[Any],
    crop_dims: Sequence[int] | NDArray[Any],
) -> NDArray[np.float32]:
    """Cut the four corners and the centre out of images, then the same mirrored.

    Parameters
    ----------
    images : sequence of arrays of shape (height, width, channels)
        All of one shape.
    crop_dims : (int, int)
        Height and width of what is cut out.

    Returns
    -------
    array of shape (10 * number of images, height, width, channels), float32

    Examples
    --------
    >>> image = np.arange(9.0).reshape(3, 3, 1)
    >>> oversample([image], (1, 1)).ravel().tolist()
    [0.0, 2.0, 6.0, 8.0, 4.0, 0.0, 2.0, 6.0, 8.0, 4.0]
    """
    height, width = (int(size) for size in crop_dims)
    free = [
        whole - cut
        for whole, cut in zip(images[0].shape, (height, width), strict=False)
    ]
    if min(free) < 0:
        raise CheckError(
            f"crops of {height} x {width} pixels do not fit into images of shape "
            f"{images[0].shape}"
        )
    corners = [(y, x) for y in (0, free[0]) for x in (0, free[1])]
    places = [*corners, (free[0] // 2, free[1] // 2)]
    crops = []
    for image in images:
        cuts = [image[y : y + height, x : x + width, :] for y, x in places]
        crops += cuts + [cut[:, ::-1, :] for cut in cuts]
    return np.array(crops, np.float32)


def _resized_mean(mean: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Resize a mean image (channels, height, width) to a height and width."""
    low, spread = mean.min(), np.ptp(mean)
    if spread == 0:
        return np.full((len(mean), *size), low, mean.dtype)
    part = ((mean - low) / spread).transpose(1, 2, 0)
    resized = resize_image(part, size).transpose(2, 0, 1)
    result: NDArray[Any] = resized * spread + low
    return result


class Transformer:
    """Images to the inputs of a net and back.

    What is set is done in this order by `preprocess`: resize to the input's size,
    transpose, channel swap, raw scale, mean, input scale.

    Parameters
    ----------
    inputs : dict of str to shape
        Shapes (number, channels, height, width) by the names of inputs.

    Attributes
    ----------
    inputs, transpose, channel_swap, raw_scale, mean, input_scale : dict
        What is set, by the names of inputs.

    Examples
    --------
    >>> transformer = Transformer({"data": (1, 3, 2, 2)})
    >>> transformer.set_transpose("data", (2, 0, 1))
    >>> transformer.set_raw_scale("data", 255)
    >>> transformer.preprocess("data", np.ones((2, 2, 3))).max()
    np.float32(255.0)
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, Any] = {}
        self.mean: dict[str, NDArray[Any]] = {}
        self.input_scale: dict[str, Any] = {}

    def preprocess(self, in_: str, data: NDArray[Any]) -> NDArray[np.float32]:
        """Make an input of an image; the image itself stays as it is.

        Parameters
        ----------
        in_ : str
            Name of the input.
        data : array of shape (height, width, channels)

        Returns
        -------
        array of shape (channels, height, width), float32
        """
        size = self._shape(in_)[2:]
        image = np.array(data, np.float32)
        if image.shape[:2] != size:
            image = resize_image(image, size)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_]), :, :]
        # in place: numbers stay float32 whatever type a scale or a mean has
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            image -= self.mean[in_]
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: NDArray[Any]) -> NDArray[Any]:
        """Make an image of an input: the inverse of `preprocess`, without the resize.

        Parameters
        ----------
        in_ : str
            Name of the input.
        data : array of shape ([1,] channels, height, width)
        """
        self._shape(in_)
        image = data.copy().squeeze()
        order = self.transpose.get(in_)
        if order is not None and image.ndim < len(order):  # one channel, one row
            image = image.reshape(data.shape[-len(order) :])
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            image += self.mean[in_]
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_]), :, :]
        if order is not None:
            image = image.transpose(np.argsort(order))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes: (2, 0, 1) takes images to channels first.

        Raises
        ------
        CheckError
            If there are other than one less than the input has axes.
        """
        axes = len(self._shape(in_)) - 1
        if len(order) != axes:
            raise CheckError(
                f"input '{in_}': transpose order {tuple(order)} needs to have the same "
                f"number of dimensions as the input: {axes}"
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels: (2, 1, 0) makes BGR of RGB.

        Raises
        ------
        CheckError
            If there are not as many as the input has channels.
        """
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise CheckError(
                f"input '{in_}': channel swap {tuple(order)} needs to have the same "
                f"number of dimensions as the input channels: {channels}"
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: Any) -> None:
        """Set what images are multiplied by before the mean is subtracted.

        255 for a mean that was taken of bytes, since `load_image` gives 0 to 1.
        """
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: NDArray[Any]) -> None:
        """Set what is subtracted: one number per channel, or an image.

        Parameters
        ----------
        in_ : str
            Name of the input.
        mean : array of shape (channels,), (height, width) or (channels, height, width)
            In the order of channels and axes that the net takes. An image of another
            height or width than the input's is resized to it.

        Raises
        ------
        CheckError
            If its channels are not the input's.
        """
        shape = self._shape(in_)[1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise CheckError(
                    f"input '{in_}': Mean channels incompatible with input: "
                    f"{len(mean)} and {shape[0]}"
                )
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim not in (2, 3):
            raise CheckError(
                f"input '{in_}': Mean shape invalid: {mean.shape}; expected "
                "(channels,), (height, width), (channels, height, width)"
            )
        elif (1, *mean.shape)[-3] != shape[0]:
            raise CheckError(
                f"input '{in_}': Mean shape incompatible with input shape: "
                f"{mean.shape} and {shape}; the mean of each channel would do, too"
            )
        elif mean.shape[-2:] != shape[1:]:
            mean = _resized_mean(mean.reshape(-1, *mean.shape[-2:]), shape[1:])
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: Any) -> None:
        """Set what images are multiplied by after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise CheckError(
                f"{in_} is not one of the net inputs: {', '.join(self.inputs)}"
            )
        return tuple(self.inputs[in_])
