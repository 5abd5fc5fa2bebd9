"""Cut training tiles, augmented or plain, from images and labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyunet.data import augmentation as augment
from pyunet.data.augmentation import Augmentation
from pyunet.data.fields import Field
from pyunet.data.labels import Labels
from pyunet.data.weightmaps import ClassWeights, border_weights, class_weights
from pyunet.errors import DataError


class Sample(NamedTuple):
    """One training tile.

    Attributes
    ----------
    data : ndarray of float, shape (C, input [Z,] Y, X)
        Grey values 0..1.
    label : ndarray of uint8, shape (1, output [Z,] Y, X)
        Classes, of the middle of the tile.
    weights : ndarray of float, shape (1, output [Z,] Y, X)
        Pixel weights of the loss.
    """

    data: NDArray[np.floating]
    label: NDArray[np.uint8]
    weights: NDArray[np.floating]


class Draw(NamedTuple):
    """A sample, and where it comes from.

    Attributes
    ----------
    sample : Sample
    number : int
        Image that it was cut from.
    coordinates : ndarray of float32, shape (axes, input [Z,] Y, X)
        Where each of its pixels was read in that image.
    """

    sample: Sample
    number: int
    coordinates: Field


@dataclass(frozen=True)
class Recipe:
    """How a training set is made from images and labels.

    Attributes
    ----------
    input_shape, output_shape : ([Z,] Y, X), default (572, 572) and (388, 388)
        Sizes of the net's input and output tile in pixels; they share their centre.
    samples : int, default 1000
        Augmented tiles; 0 means the plain tiles that cover each image once.
    augmentation : Augmentation
        What is varied.
    border_weight, border_sigma : float, default 10 and 5
        w0 and sigma (pixels) of the weight map; w0 = 0 leaves w_c alone.
    class_weights : "balanced", "none" or one number a class
        w_c of the weight map.
    seed : int, default 0
        Of everything random: equal seeds give equal sets.

    Raises
    ------
    DataError
        An output larger than the input, or an odd difference, or of other axes;
        fewer than 0 samples.

    Examples
    --------
    >>> Recipe(input_shape=(572, 572), output_shape=(387, 387))
    Traceback (most recent call last):
    pyunet.errors.DataError: input 572 x 572 and output 387 x 387: expected an \
output no larger than the input, and an even difference
    """

    input_shape: tuple[int, ...] = (572, 572)
    output_shape: tuple[int, ...] = (388, 388)
    samples: int = 1000
    augmentation: Augmentation = field(default_factory=Augmentation)
    border_weight: float = 10.0
    border_sigma: float = 5.0
    class_weights: ClassWeights = "balanced"
    seed: int = 0

    def __post_init__(self) -> None:
        pairs = list(zip(self.input_shape, self.output_shape, strict=False))
        alike = len(self.input_shape) == len(self.output_shape)
        if not alike or any(o < 1 or o > i or (i - o) % 2 for i, o in pairs):
            i, o = sizes(self.input_shape), sizes(self.output_shape)
            raise DataError(
                f"input {i} and output {o}: expected an output no larger than the "
                "input, and an even difference"
            )
        if self.samples < 0:
            raise DataError(f"{self.samples} samples: expected 0 or more")


def sizes(shape: tuple[int, ...]) -> str:
    """Write a shape for a person.

    >>> sizes((20, 512, 512))
    '20 x 512 x 512'
    """
    return " x ".join(map(str, shape))


class TileSource:
    """Draws samples from images and labels by a recipe.

    Parameters
    ----------
    images : ndarray of float32, shape (N, C, [Z,] Y, X)
        Grey values 0..1.
    labels : Labels
        Of the same N, [Z,] Y, X.
    recipe : Recipe
        What to make.

    Attributes
    ----------
    class_weights : ndarray of float32, shape (K,)
        w_c as it was used.

    Raises
    ------
    DataError
        Tiles with another number of axes than the images.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.random((2, 1, 40, 50), dtype=np.float32)
    >>> classes = (images[:, 0] > 0.5).astype(np.uint8)
    >>> labels = Labels(classes, classes.astype(np.int32), "")
    >>> source = TileSource(images, labels, Recipe((32, 32), (20, 20), samples=0))
    >>> len(source), next(iter(source)).data.shape
    (12, (1, 32, 32))
    """

    def __init__(
        self, images: NDArray[np.float32], labels: Labels, recipe: Recipe
    ) -> None:
        self.recipe = recipe
        self.class_weights = class_weights(labels.classes, recipe.class_weights)
        self._images = images
        self._classes = labels.classes
        cells = tqdm(labels.instances, "weight maps", unit="slice", disable=None)
        self._weights = [
            self.class_weights[classes]
            + border_weights(plane, w0=recipe.border_weight, sigma=recipe.border_sigma)
            for classes, plane in zip(labels.classes, cells, strict=True)
        ]
        self._size = images.shape[2:]
        if len(self._size) != len(recipe.input_shape):
            raise DataError(
                f"images of {sizes(self._size)} pixels and tiles of "
                f"{sizes(recipe.input_shape)}: expected the same number of axes"
            )
        self._starts = [
            _grid(*pair) for pair in zip(self._size, recipe.output_shape, strict=True)
        ]

    def __len__(self) -> int:
        """Count the samples that one pass gives."""
        return self.recipe.samples or len(self._plain())

    def __iter__(self) -> Iterator[Sample]:
        """Give the samples, always the same ones."""
        return (draw.sample for draw in self.draws())

    def draws(self) -> Iterator[Draw]:
        """Give the same samples, and where each was read."""
        if self.recipe.samples == 0:
            still = Augmentation(
                elastic_std=0,
                rotate=False,
                mirror=False,
                grey=0,
                interpolation="linear",
            )
            yield from self._cut(iter(self._plain()), still)
            return
        rng = np.random.default_rng(self.recipe.seed)
        positions = itertools.islice(self._positions(rng), self.recipe.samples)
        yield from self._cut(positions, self.recipe.augmentation, rng)

    def _cut(
        self,
        positions: Iterator[tuple[int, ...]],
        how: Augmentation,
        rng: np.random.Generator | None = None,
    ) -> Iterator[Draw]:
        rng = rng or np.random.default_rng(0)
        axes = len(self._size)
        images = augment.prepare_image(self._images, how.interpolation, axes=axes)
        output_shape = self.recipe.output_shape
        middle = (slice(None), *output_window(self.recipe))
        for number, *start in positions:
            centre = tuple(
                s + (o - 1) / 2 for s, o in zip(start, output_shape, strict=True)
            )
            at = augment.random_coordinates(self.recipe.input_shape, centre, how, rng)
            data = augment.warp_image(images[number], at, how.interpolation)
            inner = at[middle]
            sample = Sample(
                augment.vary_grey(data, rng, how.grey),
                augment.warp_labels(self._classes[number], inner)[None],
                augment.warp_weights(self._weights[number], inner)[None],
            )
            yield Draw(sample, number, at)

    def _plain(self) -> list[tuple[int, ...]]:
        return list(itertools.product(range(len(self._images)), *self._starts))

    def _positions(self, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
        """Go through the images in random order, again and again."""
        plain = list(itertools.product(*self._starts))
        while True:
            for number in rng.permutation(len(self._images)):
                if self.recipe.augmentation.shift:
                    pairs = zip(self._size, self.recipe.output_shape, strict=True)
                    start = tuple(_random_start(*pair, rng) for pair in pairs)
                else:
                    start = plain[rng.integers(len(plain))]
                yield (int(number), *start)


def output_window(recipe: Recipe) -> tuple[slice, ...]:
    """Give where the output tile lies in the input tile.

    >>> output_window(Recipe())
    (slice(92, 480, None), slice(92, 480, None))
    """
    pairs = zip(recipe.input_shape, recipe.output_shape, strict=True)
    return tuple(slice((i - o) // 2, (i + o) // 2) for i, o in pairs)


def _grid(size: int, tile: int) -> list[int]:
    """Give starts of the fewest tiles that cover an axis, evenly spaced.

    >>> _grid(512, 388), _grid(388, 388), _grid(300, 388)
    ([0, 124], [0], [-44])
    """
    if size <= tile:
        return [-((tile - size) // 2)]
    count = -(-size // tile)
    return [int(start) for start in np.rint(np.linspace(0, size - tile, count))]


def _random_start(size: int, tile: int, rng: np.random.Generator) -> int:
    """Draw where a tile starts; up to a quarter of it may lie outside on each side.

    So the border of an image is seen often, too.
    """
    low, high = -(tile // 4), size - tile + tile // 4
    if low > high:
        return (size - tile) // 2
    return int(rng.integers(low, high + 1))
