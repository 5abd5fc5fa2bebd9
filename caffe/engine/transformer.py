"""Caffe's DataTransformer: mean, scale, crop and mirror of images on their way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import CheckError, FileError
from caffe.proto import blobs

Shape = tuple[int, ...]
Floats = NDArray[np.float32]
_AXES = 3


class DataTransformer:
    """What ``transform_param`` asks for: ``(image - mean) * scale``, in float32.

    Options (``transform_param``)
        scale : float, default 1.
        mirror : bool, default false. Mirror every second image, by chance.
        crop_size : int, default 0 (none). Side of a square: anywhere in phase TRAIN, in
            the middle in TEST. SSD also has crop_h and crop_w.
        mean_file : str. BlobProto of the size of the images; it is cropped with them.
        mean_value : repeated float. One, or one for each channel.
        force_color, force_gray : bool, default false. Decode to 3 channels, or to 1.

    Parameters
    ----------
    param : TransformationParameter
    train : bool
        Phase TRAIN.
    log : callable
        Takes Caffe's lines.

    Raises
    ------
    CheckError
        If options exclude one another.
    FileError
        If the mean file can't be read.

    Examples
    --------
    >>> from caffe.proto import caffe_pb2
    >>> param = caffe_pb2.TransformationParameter(mean_value=[1], scale=0.5)
    >>> transformer = DataTransformer(param, train=False, log=lambda *line: None)
    >>> image = np.full((1, 2, 2), 5, np.uint8)
    >>> transformer.transform(image, np.random.default_rng()).tolist()
    [[[2.0, 2.0], [2.0, 2.0]]]
    """

    def __init__(
        self, param: Any, *, train: bool, log: Callable[[str, str], None]
    ) -> None:
        if param.HasField("mean_file") and param.mean_value:
            raise CheckError("Cannot specify mean_file and mean_value at the same time")
        if param.force_color and param.force_gray:
            raise CheckError("cannot set both force_color and force_gray")
        for name in ("resize_param", "noise_param"):
            if param.HasField(name):
                raise CheckError(
                    f"transform_param has {name}, which this layer does not do: "
                    "expected none"
                )
        self._crop = _crop(param)
        self.mirror = bool(param.mirror)
        self._train = train
        self._scale = np.float32(param.scale)
        self._mean: Floats | None = None
        self._values = np.array(param.mean_value, np.float32)
        if param.HasField("mean_file"):
            log("data_transformer.cpp:25", f"Loading mean file from: {param.mean_file}")
            self._mean = read_mean(param.mean_file)
        self.color: bool | None = None
        if param.force_color or param.force_gray:
            self.color = bool(param.force_color)

    @property
    def needs_random(self) -> bool:
        """Whether anything is left to chance."""
        return self.mirror or bool(self._train and self._crop)

    def shape(self, image: Shape) -> Shape:
        """Shape of what becomes of an image (channels, height, width).

        Raises
        ------
        CheckError
            If the image is empty, or smaller than the crop.
        """
        channels, height, width = image
        if min(image) < 1:
            raise CheckError(f"the image has shape {image}: expected extents above 0")
        crop = self._crop or (height, width)
        if height < crop[0] or width < crop[1]:
            wanted = f"{crop[0]}" if crop[0] == crop[1] else f"{crop[0]} x {crop[1]}"
            raise CheckError(
                f"the image has {height} x {width} pixels: expected "
                f"crop_size {wanted} or more"
            )
        return (channels, *crop)

    def transform(
        self, image: NDArray[Any], rng: np.random.Generator | None = None
    ) -> Floats:
        """Take the mean off, scale, crop and mirror.

        Parameters
        ----------
        image : array of shape (channels, height, width)
        rng : Generator
            Asked only if `needs_random`.

        Returns
        -------
        array of float32, shape as `shape` says

        Raises
        ------
        CheckError
            If the image is not of the size of the mean, or too small.
        """
        return self.transform_at(image, *self.draw(image.shape, rng))

    def draw(
        self, image: Shape, rng: np.random.Generator | None
    ) -> tuple[bool, int, int]:
        """Draw what `transform_at` takes: mirror, and the corner of the crop."""
        _, height, width = self.shape(image)
        mirror = bool(self.mirror and rng is not None and rng.integers(2))
        if not self._crop:
            return mirror, 0, 0
        spare = image[1] - height, image[2] - width
        if self._train and rng is not None:
            down, right = (int(rng.integers(extent + 1)) for extent in spare)
        else:
            down, right = (extent // 2 for extent in spare)
        return mirror, down, right

    def transform_at(
        self, image: NDArray[Any], mirror: bool, down: int, right: int
    ) -> Floats:
        """Transform as `transform` does, with this mirror and corner of the crop."""
        _, height, width = self.shape(image.shape)
        area = np.s_[:, down : down + height, right : right + width]
        result = image[area].astype(np.float32)
        mean = self._mean_of(image.shape)
        if mean is not None:
            result -= mean[area] if mean.shape == image.shape else mean
        if self._scale != 1:
            result *= self._scale
        return result[:, :, ::-1] if mirror else result

    def _mean_of(self, image: Shape) -> Floats | None:
        if self._mean is not None:
            if self._mean.shape != image:
                raise CheckError(
                    f"the image has shape {image}: expected {self._mean.shape}, the "
                    "shape of the mean file"
                )
            return self._mean
        if not self._values.size:
            return None
        if self._values.size not in {1, image[0]}:
            raise CheckError(
                f"mean_value has {self._values.size} values: Specify either 1 "
                f"mean_value or as many as channels: {image[0]}"
            )
        return self._values[:, None, None]


def _crop(param: Any) -> tuple[int, int] | None:
    """Height and width of the crop; None: the whole image."""
    sides = int(param.crop_h), int(param.crop_w)
    if param.crop_size and any(sides):
        raise CheckError("crop_size and crop_h or crop_w are given: give one")
    if bool(sides[0]) != bool(sides[1]):
        raise CheckError(f"crop_h is {sides[0]} and crop_w {sides[1]}: give both")
    return (
        (int(param.crop_size),) * 2
        if param.crop_size
        else (sides if any(sides) else None)
    )


def read_mean(path: str) -> Floats:
    """Read a mean image, as compute_image_mean writes it.

    Returns
    -------
    array of float32 and shape (channels, height, width)

    Raises
    ------
    FileError
        If the file can't be read or holds something else.
    """
    values = blobs.read(path, "a mean image")
    shape = values.shape[1:] if values.ndim > _AXES else values.shape
    if len(shape) != _AXES or values.size != np.prod(shape) or not values.size:
        raise FileError(
            f"{path}: holds an array of shape {values.shape}: expected "
            "(1, channels, height, width)"
        )
    return values.reshape(shape)
