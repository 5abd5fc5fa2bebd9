"""Batches of images and of the classes of their pixels, as SegNet reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffe.engine.sources import images
from caffe.engine.sources.lists import ListBatches
from caffe.engine.transformer import DataTransformer
from caffe.errors import CheckError, FileError

Line = tuple[str, str]


@dataclass(frozen=True)
class DenseOptions:
    """Options of DenseImageData.

    Attributes
    ----------
    batch, shuffle, skip, size, color
        As for ImageData.
    crop : (int, int) or None
        Height and width of what is cut out.
    mirror : bool
    divisor : int
        Labels are so much smaller than images along each axis.
    """

    batch: int
    shuffle: bool
    skip: int
    size: tuple[int, int] | None
    color: bool
    crop: tuple[int, int] | None
    mirror: bool
    divisor: int = 1


class DenseBatches(ListBatches[Line]):
    """Images of a list with their labels, in a circle; see `ListBatches`.

    `transformer` takes the mean off, and scales.
    """

    def __init__(
        self,
        source: str,
        lines: Sequence[Line],
        transformer: DataTransformer,
        options: DenseOptions,
        *,
        seed: int,
        share: tuple[int, int],
    ) -> None:
        super().__init__(source, lines, options, seed=seed, share=share)
        self._transformer = transformer
        self._options = options

    def sample(self, line: Line, seed: int, row: int) -> list[Any]:
        """Read an image and its labels."""
        options, rng = self._options, self.random(seed, row)
        image = images.read(line[0], options.color)
        label = images.read(line[1], color=False)
        if label.shape[:2] != image.shape[:2] and options.size is None:
            raise FileError(
                f"{line[1]}: has {label.shape[0]} x {label.shape[1]} pixels: expected "
                f"{image.shape[0]} x {image.shape[1]}, as {line[0]}"
            )
        if options.size is not None:
            image = images.resize(image, *options.size)
        height, width = (n // options.divisor for n in image.shape[:2])
        if label.shape[:2] != (height, width):
            label = images.resize_nearest(label, height, width)
        if options.crop is not None:
            spare = [
                n - crop for n, crop in zip(image.shape, options.crop, strict=False)
            ]
            if min(spare) < 0:
                raise FileError(
                    f"{line[0]}: has {image.shape[0]} x {image.shape[1]} pixels: "
                    f"expected {options.crop[0]} x {options.crop[1]} or more, to be cut"
                )
            down, right = (int(rng.integers(n + 1)) for n in spare)
            area = (
                slice(down, down + options.crop[0]),
                slice(right, right + options.crop[1]),
            )
            image, label = image[area], label[area]
        if options.mirror and rng.integers(2):
            image, label = image[:, ::-1], label[:, ::-1]
        try:
            values = self._transformer.transform(image.transpose(2, 0, 1))
        except CheckError as error:
            raise FileError(f"{line[0]}: {error}") from None
        return [values, label.transpose(2, 0, 1)]
