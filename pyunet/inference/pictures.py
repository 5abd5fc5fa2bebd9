"""Pictures that a person can look at: overlays and side-by-side comparisons."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from pyunet.files import atomic_path
from pyunet.inference.mapped import forget, is_mapped

MOST_SLICES = 4
LONGEST_SIDE = 1200
ROWS = 64
TINT = 0.4
GAP = 6
CAPTION = 26
GOLDEN = 0.618034
Picture = NDArray[np.uint8]


def overlay_png(path: str | Path, images: NDArray[Any], labels: NDArray[Any]) -> None:
    """Write images tinted with their labels, up to four slices of a stack in a row.

    Of images with more than 1200 pixels a side every second, third... pixel is shown.

    With one label besides 0 every connected object has a colour of its own; with more
    labels every label has.

    Parameters
    ----------
    path : str or Path
    images : ndarray, shape (N, C, Y, X)
        Grey, or colour with C = 3; any range, shown from its 0.5 to its 99.5
        percentile. Of other C the first channel is shown.
    labels : ndarray of int, shape (N, Y, X)

    Raises
    ------
    DataError
        A file that cannot be written.
    """
    panels = []
    for index in _chosen(labels):
        grey, shown = _thinned(images[index]), _thinned(labels[index])
        panels.append(_overlay(_grey(grey), _objects(shown)))
    _save(path, _row(panels))


def comparison_png(
    path: str | Path,
    images: NDArray[Any],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    *,
    captions: Sequence[str] = ("image", "truth", "prediction", "overlay"),
) -> None:
    """Write image, truth, prediction and overlay side by side, with captions.

    A predicted object has the colour of the true object that it covers most of; what
    is split or merged changes its colour. Stacks give up to four rows.

    Parameters
    ----------
    path : str or Path
    images : ndarray, shape (N, C, Y, X), (N, Y, X) or (Y, X)
    truth, prediction : ndarray of int, shape (N, Y, X) or (Y, X)
        0 is background (membrane).
    captions : sequence of four str
        Texts above the panels.

    Raises
    ------
    DataError
        A file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> labels = np.eye(40, dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     comparison_png(folder + "/a.png", labels * 200, labels, labels)
    ...     with Image.open(folder + "/a.png") as picture:
    ...         picture.size
    (178, 66)
    """
    images, truth, prediction = map(_thinned, (images, truth, prediction))
    shape = (-1, *truth.shape[-2:])
    truth, prediction = truth.reshape(shape), prediction.reshape(shape)
    if images.ndim < 4:
        images = images.reshape(-1, 1, *images.shape[-2:])
    rows = [
        _row(comparison_panels(images[index], truth[index], prediction[index]))
        for index in _chosen(truth)
    ]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    body = np.concatenate([part for row in rows for part in (gap, row)][1:])
    _save(path, np.concatenate([_titles(captions, truth.shape[-1]), body]))


def comparison_panels(
    image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any]
) -> list[Picture]:
    """Give the panels of `comparison_png` for one image, at its own size.

    Parameters
    ----------
    image : ndarray, shape (C, Y, X)
    truth, prediction : ndarray of int, shape (Y, X)

    Returns
    -------
    list of four ndarray of uint8, shape (Y, X, 3)
        Image, truth, prediction, overlay.

    Examples
    --------
    >>> labels = np.eye(8, dtype=np.uint8)
    >>> [panel.shape for panel in comparison_panels(labels[None], labels, labels)]
    [(8, 8, 3), (8, 8, 3), (8, 8, 3), (8, 8, 3)]
    """
    grey = _grey(image)
    true = _objects(truth)
    found = _matched(true, _objects(prediction))
    return [grey, _colour(true), _colour(found), _overlay(grey, found)]


def _thinned(stack: NDArray[Any]) -> NDArray[Any]:
    """Leave out rows and columns of what is larger than a picture should be."""
    step = -(-max(stack.shape[-2:]) // LONGEST_SIDE)
    thin = stack[..., ::step, ::step]
    if not is_mapped(stack):
        return thin
    copy = np.empty(thin.shape, thin.dtype)
    for first in range(0, thin.shape[-2], ROWS):
        rows = (..., slice(first, first + ROWS), slice(None))
        copy[rows] = thin[rows]
        forget(stack)
    return copy


def _chosen(stack: NDArray[Any]) -> list[int]:
    """Pick at most four slices, evenly spaced."""
    last = len(stack) - 1
    return sorted(
        {round(i) for i in np.linspace(0, last, min(len(stack), MOST_SLICES))}
    )


def _grey(image: NDArray[Any]) -> Picture:
    """Bring (C, Y, X) to 8-bit RGB (Y, X, 3), stretched from 0.5 to 99.5 percent."""
    shown = image if len(image) == 3 else image[:1]
    low, high = np.percentile(shown, (0.5, 99.5))
    scaled = (shown.astype(np.float64) - low) * (255 / max(high - low, 1e-12))
    picture = np.clip(np.rint(scaled), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def _objects(labels: NDArray[Any]) -> NDArray[np.intp]:
    """Give a number to what has a colour of its own: a mask's objects, or labels."""
    values = np.unique(labels)
    if np.count_nonzero(values) > 1:
        return np.asarray(np.searchsorted(values, labels) + (values[0] > 0), np.intp)
    return np.asarray(ndimage.label(labels != 0)[0], np.intp)


def _matched(truth: NDArray[np.intp], found: NDArray[np.intp]) -> NDArray[np.intp]:
    """Renumber found objects like the true ones that they overlap most, one to one."""
    both = (truth > 0) & (found > 0)
    pairs = np.stack([truth[both], found[both]])
    unique, counts = np.unique(pairs, axis=1, return_counts=True)
    taken: set[int] = set()
    numbers = np.arange(found.max() + 1) + truth.max()
    numbers[0] = 0
    done: set[int] = set()
    for true, one in unique[:, np.argsort(-counts, kind="stable")].T.tolist():
        if true not in taken and one not in done:
            numbers[one] = true
            taken.add(true)
            done.add(one)
    return np.asarray(numbers[found], np.intp)


def _colour(objects: NDArray[np.intp]) -> Picture:
    """Paint objects on black; neighbouring numbers get distant hues."""
    rows = np.where(objects > 0, (objects - 1) % (len(PALETTE) - 1) + 1, 0)
    return np.take(PALETTE, rows, axis=0)


def _palette(count: int) -> Picture:
    """Black, then colours by the golden ratio, which never repeats a hue."""
    colours = [(0.0, 0.0, 0.0)]
    for i in range(count):
        tint, light = 0.55 + 0.1 * (i % 4), 1 - 0.12 * (i % 3)
        colours.append(colorsys.hsv_to_rgb(i * GOLDEN % 1, tint, light))
    return np.asarray(np.rint(255 * np.array(colours)), np.uint8)


PALETTE = _palette(600)


def _overlay(grey: Picture, objects: NDArray[np.intp]) -> Picture:
    colour = _colour(objects)
    inside = (objects > 0)[..., None]
    low, high = ndimage.minimum_filter(objects, 3), ndimage.maximum_filter(objects, 3)
    edge = inside & (low != high)[..., None]
    mixed = ((1 - TINT) * grey + TINT * colour).astype(np.uint8)
    return np.where(edge, colour, np.where(inside, mixed, grey))


def _row(panels: Sequence[Picture]) -> Picture:
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for p in panels for part in (gap, p)][1:], axis=1)


def _titles(captions: Sequence[str], width: int) -> Picture:
    """Draw a white line with one caption above every panel."""
    total = len(captions) * (width + GAP) - GAP
    line = Image.new("RGB", (total, CAPTION), "white")
    draw = ImageDraw.Draw(line)
    font = ImageFont.load_default(size=16)
    for index, text in enumerate(captions):
        centre = index * (width + GAP) + width / 2
        draw.text((centre, CAPTION / 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(line)


def _save(path: str | Path, picture: Picture) -> None:
    with atomic_path(Path(path)) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
