"""Batches of images and of the classes of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.engine.sources import images
from caffe.engine.sources.lists import ListBatches
from caffe.errors import FileError

Pixels = NDArray[np.uint8]
Line = tuple[str, str]


@dataclass(frozen=True)
class PairOptions:
    """Options of ImageSegData.

    Attributes
    ----------
    tops : int
        Images, labels, sizes: how many of them are wanted.
    batch, shuffle, skip, size, color
        As for ImageData.
    labels : "NONE", "IMAGE" or "PIXEL"
        What the second name of a line is.
    ignored : int
        Label of pixels that are added, or have none.
    crop : (int, int) or None
        Height and width of what is cut out.
    scales : sequence of float
        Factors of which one is drawn for each image.
    mirror, train : bool
    mean : sequence of float
        One, or one for each channel; none: 0.
    scale : float
    """

    tops: int
    batch: int
    shuffle: bool
    skip: int
    size: tuple[int, int] | None
    color: bool
    labels: str
    ignored: int
    crop: tuple[int, int] | None
    scales: Sequence[float]
    mirror: bool
    train: bool
    mean: Sequence[float]
    scale: float


class PairBatches(ListBatches[Line]):
    """Images of a list with their labels, in a circle; see `ListBatches`."""

    def __init__(
        self,
        source: str,
        lines: Sequence[Line],
        options: PairOptions,
        *,
        seed: int,
        share: tuple[int, int],
    ) -> None:
        super().__init__(source, lines, options, seed=seed, share=share)
        self._options = options
        channels = 3 if options.color else 1
        mean = np.array(options.mean or [0], np.float32)
        self._mean = np.broadcast_to(mean, (channels,))

    def sample(self, line: Line, seed: int, row: int) -> list[Any]:
        """Read an image, its labels, and how much of the top the image fills."""
        options, rng = self._options, self.random(seed, row)
        image = self._read(line[0], color=options.color)
        label = self._label(line, image.shape)
        extent = image.shape[:2]
        image, label = self._scaled(image, label, rng)
        values, label = self._cropped(image.astype(np.float32), label, rng)
        values = (values - self._mean) * np.float32(options.scale)
        if options.mirror and rng.integers(2):
            values, label = values[:, ::-1], label[:, ::-1]
        filled = np.minimum(label.shape[:2], extent)
        planes = (part.transpose(2, 0, 1) for part in (values, label))
        return [*planes, filled.reshape(1, 1, 2)][: options.tops]

    def _read(self, name: str, *, color: bool) -> Pixels:
        pixels = images.read(name, color)
        size = self._options.size
        return pixels if size is None else images.resize(pixels, *size)

    def _label(self, line: Line, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Classes of the pixels, (height, width, 1)."""
        options = self._options
        if options.labels != "PIXEL":
            one = (
                options.ignored
                if options.labels == "NONE"
                else images.as_number(line[1])
            )
            return np.full((*shape[:2], 1), one, np.float32)
        label = self._read(line[1], color=False)
        if label.shape[:2] != shape[:2]:
            raise FileError(
                f"{line[1]}: has {label.shape[0]} x {label.shape[1]} pixels: expected "
                f"{shape[0]} x {shape[1]}, as {line[0]}"
            )
        return label.astype(np.float32)

    def _scaled(
        self, image: Pixels, label: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[Pixels, NDArray[np.float32]]:
        """Bring both to a size that is drawn."""
        if not self._options.scales:
            return image, label
        factor = np.float32(rng.choice(self._options.scales))
        height, width = (max(int(n * factor), 1) for n in image.shape[:2])
        return (
            images.resize(image, height, width),
            images.resize_nearest(label, height, width),
        )

    def _cropped(
        self,
        image: NDArray[np.float32],
        label: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Add what lacks below and to the right, cut out what is asked for."""
        crop = self._options.crop
        if crop is None:
            return image, label
        extents = np.maximum(image.shape[:2], crop)
        whole = np.empty((*extents, image.shape[2]), np.float32)
        truth = np.empty((*extents, 1), np.float32)
        whole[:], truth[:] = self._mean, self._options.ignored
        whole[: image.shape[0], : image.shape[1]] = image
        truth[: image.shape[0], : image.shape[1]] = label
        spare = extents - crop
        down, right = (
            int(rng.integers(n + 1)) if self._options.train else int(n) // 2
            for n in spare
        )
        area = np.s_[down : down + crop[0], right : right + crop[1]]
        return whole[area], truth[area]
