"""Labels and weights of the loss, from classes and instances, as the plugin makes them.

Source: modeldef_h5.md, section 4. Background of a frame weighs::

    w = v + sum over classes [ factor * exp(-(d1 + d2)^2 / (2 sigma_border^2))
                               + (1 - v) * exp(-d1^2 / (2 sigma1^2)) ]

with v the ratio of background to foreground and d1, d2 the distances in pixels to the
nearest and the second nearest instance of the class. Foreground weighs 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyunet.data.weightmaps import border_weights
from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import (
    BACKGROUND,
    FIRST_CLASS,
    IGNORE,
    Annotation,
)
from pyunet_fiji.modeldef import LossWeights


class LossMaps(NamedTuple):
    """What the loss of a run needs, shape (N, [Z,] Y, X) each, float32.

    Attributes
    ----------
    labels : ndarray
        0 background, 1 and more the classes.
    weights : ndarray
        Of each pixel in the loss; 0 where the annotation says ignore.
    sampling : ndarray
        How often a pixel is to be the middle of a training tile (``weights2``).
    """

    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    sampling: NDArray[np.float32]


def loss_maps(annotation: Annotation, parameters: LossWeights) -> LossMaps:
    """Make labels and weights of an annotation.

    Terms of the border below 1e-7 are 0.

    Parameters
    ----------
    annotation : Annotation
        At the net's pixel size.
    parameters : LossWeights

    Returns
    -------
    LossMaps

    Raises
    ------
    DataError
        A negative factor or ratio, a sigma that is not above 0.

    Examples
    --------
    Two touching cells; the second gives up its first pixel:

    >>> annotation = Annotation(np.array([[[1, 2, 2, 2, 0]]], np.uint8),
    ...                         np.array([[[[0, 1, 2, 2, 0]]]], np.int32))
    >>> maps = loss_maps(annotation, LossWeights())
    >>> maps.labels.tolist()
    [[[0.0, 1.0, 0.0, 1.0, 0.0]]]
    >>> maps.weights.round(2)
    array([[[45.12,  1.  , 50.31,  1.  ,  0.  ]]], dtype=float32)
    """
    ratio, sigma = parameters.foreground_background_ratio, parameters.sigma1_px
    if not (ratio >= 0 and sigma > 0):
        raise DataError(
            f"foregroundBackgroundRatio {ratio:g} and sigma1Px {sigma:g}: accepted are "
            "a ratio of 0 or more and a sigma above 0"
        )
    classes = annotation.classes
    foreground = (classes >= FIRST_CLASS) & ~find_gaps(annotation)
    weights = np.stack(
        [_background(cells, parameters) for cells in annotation.instances]
    )
    sampling = np.full(classes.shape, ratio, np.float32)
    labels = np.where(foreground, classes - np.float32(BACKGROUND), np.float32(0))
    for weight in (weights, sampling):
        weight[foreground] = 1
        weight[classes == IGNORE] = 0
    return LossMaps(labels.astype(np.float32), weights, sampling)


def find_gaps(annotation: Annotation) -> NDArray[np.bool_]:
    """Find pixels of a class that touch another instance of it and become background.

    Of two touching pixels the one that comes later gives way: neighbours are those 4 of
    8, or 13 of 26, that come before a pixel when rows are read one after the other.

    Parameters
    ----------
    annotation : Annotation

    Returns
    -------
    ndarray of bool, shape (N, [Z,] Y, X)

    Examples
    --------
    >>> find_gaps(Annotation(np.array([[[2, 2, 2]]], np.uint8),
    ...                      np.array([[[[7, 7, 9]]]], np.int32))).tolist()
    [[[False, False, True]]]
    """
    instances = annotation.instances
    touching = np.zeros(instances.shape, bool)
    for step in _earlier(instances.ndim - 2):
        here = _with_neighbour((0, 0, *step))
        there = _with_neighbour((0, 0, *(-one for one in step)))
        own, other = instances[here], instances[there]
        touching[here] |= (other > 0) & (other != own)
    gaps = np.zeros(annotation.classes.shape, bool)
    for number in range(instances.shape[1]):
        gaps |= (annotation.classes == number + FIRST_CLASS) & touching[:, number]
    return gaps


def _earlier(axes: int) -> list[tuple[int, ...]]:
    """Give the steps to the neighbours that come before a pixel, (z)yx."""
    steps = itertools.product((-1, 0, 1), repeat=axes)
    return [step for step in steps if step < (0,) * axes]


def _with_neighbour(step: Iterable[int]) -> tuple[slice, ...]:
    """Give the part of an array where a step does not lead out of it."""
    return tuple(slice(max(-one, 0), min(-one, 0) or None) for one in step)


def _background(
    cells: NDArray[np.integer[Any]], parameters: LossWeights
) -> NDArray[np.float32]:
    """Weigh all pixels of a frame as background; cells has shape (K, [Z,] Y, X)."""
    from scipy import ndimage

    ratio = parameters.foreground_background_ratio
    total = np.full(cells.shape[1:], ratio, np.float32)
    for instances in cells:
        if not instances.any():
            continue
        total += border_weights(
            instances,
            w0=parameters.border_weight_factor,
            sigma=parameters.border_weight_sigma_px,
        )
        distance = ndimage.distance_transform_edt(instances == 0).astype(np.float32)
        near = np.exp(-np.square(distance) / (2 * parameters.sigma1_px**2))
        total += np.float32(1 - ratio) * near
    return total
