"""Training tiles of a whole data set, some of its images in memory at a time."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from skimage import measure
from tqdm import tqdm

from pyunet.data.labels import Labels
from pyunet.data.training_set import Recipe as TileRecipe
from pyunet.data.training_set import Sample, TileSource
from pyunet_reproduce.readers import Case, Example, nearest
from pyunet_reproduce.recipes import Recipe

BYTES_AT_A_TIME = 2**30
Read = Callable[[str, Case], Example]
Item = TypeVar("Item")
Number = TypeVar("Number", bound=np.integer[Any])


@dataclass(frozen=True)
class Survey:
    """What one pass over the training images finds.

    Attributes
    ----------
    channels : int
        Of the prepared images.
    pixels : ndarray of int64, shape (K,)
        Of each class, at the size that the net sees; those to be ignored left out.
    groups : list of list of (str, Case)
        Cases of one size that fit into memory together.
    """

    channels: int
    pixels: NDArray[np.int64]
    groups: list[list[tuple[str, Case]]]


def survey(recipe: Recipe, cases: Sequence[tuple[str, Case]], read: Read) -> Survey:
    """Read all training images once.

    Parameters
    ----------
    recipe : Recipe
    cases : sequence of (str, Case)
        Part and case.
    read : callable
        Reads a case of a part.

    Returns
    -------
    Survey
    """
    classes = recipe.labels.classes
    pixels = np.zeros(classes, np.int64)
    sizes: dict[tuple[int, ...], list[tuple[str, Case]]] = defaultdict(list)
    for part, case in tqdm(cases, "reading", unit="image", disable=None):
        example = read(part, case)
        classes_seen = _at_net_size(example, example.classes).ravel()
        pixels += np.bincount(classes_seen, minlength=classes + 1)[:classes]
        sizes[example.image.shape].append((part, case))
    groups = []
    for shape, alike in sizes.items():
        # image, weights, classes, instances
        example_bytes = 4 * int(np.prod(shape)) + 9 * int(np.prod(shape[1:]))
        groups += list(_batches(alike, max(1, BYTES_AT_A_TIME // example_bytes)))
    return Survey(next(iter(sizes))[0], pixels, groups)


def tiles(
    recipe: Recipe,
    surveyed: Survey,
    read: Read,
    *,
    output: tuple[int, ...],
    seed: int,
) -> Iterator[Sample]:
    """Draw the samples of a recipe, each image equally often.

    Parameters
    ----------
    recipe : Recipe
    found : Survey
    read : callable
        Reads a case of a part.
    output : tuple of int
        Tile that the net gives, pixels.
    seed : int
        Of everything random.

    Yields
    ------
    Sample
        As many as ``recipe.training.samples``.
    """
    weights = (*_class_weights(recipe, surveyed.pixels), 0.0)
    total = sum(map(len, surveyed.groups))
    asked = recipe.training.samples
    done = cases = 0
    for number, group in enumerate(surveyed.groups):
        cases += len(group)
        count = round(asked * cases / total) - done
        done += count
        if not count:
            continue
        examples = [read(part, case) for part, case in group]
        labels = _labels(recipe, examples)
        highest = int(labels.classes.max())
        how = TileRecipe(
            input_shape=tuple(recipe.net.input),
            output_shape=output,
            samples=count,
            augmentation=recipe.training.augmentation,
            border_weight=recipe.training.border_weight,
            class_weights=weights[: highest + 1],
            seed=seed * len(surveyed.groups) + number,
        )
        images = np.stack([example.image for example in examples])
        yield from TileSource(images, labels, how)


def _class_weights(recipe: Recipe, pixels: NDArray[np.int64]) -> list[float]:
    weights = recipe.training.class_weights
    if weights == "none":
        return [1.0] * len(pixels)
    if weights == "balanced":
        present = np.where(pixels > 0, pixels, pixels.max())
        return [float(weight) for weight in pixels.max() / present]
    return [float(weight) for weight in weights]


def _labels(recipe: Recipe, examples: Sequence[Example]) -> Labels:
    classes = np.stack([_at_net_size(example, example.classes) for example in examples])
    if not recipe.training.border_weight:
        return Labels(classes, np.zeros(classes.shape, np.int32), recipe.title)
    objects = [_objects(recipe, example) for example in examples]
    return Labels(classes, np.stack(objects), recipe.title)


def _objects(recipe: Recipe, example: Example) -> NDArray[np.int32]:
    """Give the cells of an image: those that were drawn, or connected regions."""
    inside = _at_net_size(example, example.classes) % recipe.labels.classes > 0
    if recipe.labels.kind == "instances":
        objects = _at_net_size(example, example.instances)
        return np.where(inside, objects, np.int32(0))
    regions = measure.label(inside, connectivity=1)  # type: ignore[no-untyped-call]
    return np.asarray(regions, np.int32)


def _at_net_size(example: Example, labels: NDArray[Number]) -> NDArray[Number]:
    size = example.image.shape[-2:]
    return labels if labels.shape[-2:] == size else nearest(labels, size)


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch
