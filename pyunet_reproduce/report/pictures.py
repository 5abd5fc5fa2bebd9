"""Pictures of a report, as data that a page can hold."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyunet.inference.pictures import comparison_panels
from pyunet_reproduce.report.run import Case, WeightExample

SIDE = 480
KERNEL_SIDE = 45
MOST_KERNELS = 64
MOST_COLUMNS = 8
WHITE = 255
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Figure:
    """A picture and the words below it.

    Attributes
    ----------
    source : str
        A ``data:`` address.
    caption : str
    width, height : int
        In pixels.
    """

    source: str
    caption: str
    width: int
    height: int


def figure(picture: Picture, caption: str, *, side: int = SIDE) -> Figure:
    """Make a figure of a picture, made smaller where it is too large.

    Parameters
    ----------
    picture : ndarray of uint8, shape (Y, X, 3) or (Y, X)
    caption : str
    side : int, default 480
        The longest side, in pixels.

    Returns
    -------
    Figure

    Examples
    --------
    >>> made = figure(np.zeros((10, 20, 3), np.uint8), "black", side=10)
    >>> made.width, made.height, made.source[:30]
    (10, 5, 'data:image/png;base64,iVBORw0K')
    """
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, format="PNG", optimize=True)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return Figure(f"data:image/png;base64,{text}", caption, *image.size)


def case_figures(case: Case) -> list[Figure]:
    """Show an image, its truth, its prediction, and where the two differ.

    Of volumes the middle slice is shown. Without an image there is no overlay.

    Examples
    --------
    >>> labels = np.eye(8, dtype=np.uint8)
    >>> [made.caption for made in case_figures(Case("a", labels, labels))]
    ['truth', 'prediction', 'differences: too much orange, missed blue']
    """
    truth, prediction = _middle(case.truth), _middle(case.prediction)
    counts = None if case.counts is None else _middle(case.counts)
    image = np.zeros((1, *truth.shape)) if case.image is None else case.image
    if image.ndim > 3:
        image = image[:, image.shape[1] // 2]
    if image.shape[-2:] != truth.shape:
        image = _nearest(image, truth.shape)
    panels = comparison_panels(image, truth, prediction)
    names = ["image", "truth", "prediction", "overlay"]
    if case.image is None:
        panels, names = panels[1:3], names[1:3]
    panels.append(differences(truth, prediction, counts))
    names.append("differences: too much orange, missed blue")
    return [figure(*pair) for pair in zip(panels, names, strict=True)]


def differences(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    counts: NDArray[np.bool_] | None = None,
) -> Picture:
    """Paint pixels that are right white, too much orange, missed blue.

    A class that is taken for another one, neither of them 0, is purple; what does not
    count is grey.

    Parameters
    ----------
    truth, prediction : ndarray of int, shape (Y, X)
    counts : ndarray of bool, same shape, optional

    Returns
    -------
    ndarray of uint8, shape (Y, X, 3)

    Examples
    --------
    >>> differences(np.array([[0, 1, 1]]), np.array([[1, 0, 1]]))[0].tolist()
    [[230, 120, 0], [0, 90, 200], [255, 255, 255]]
    """
    picture = np.full((*truth.shape, 3), WHITE, np.uint8)
    wrong = truth != prediction
    picture[wrong] = (150, 60, 170)
    picture[wrong & (truth == 0)] = (230, 120, 0)
    picture[wrong & (prediction == 0)] = (0, 90, 200)
    if counts is not None:
        picture[~counts] = (205, 205, 205)
    return picture


def weight_figures(example: WeightExample) -> list[Figure]:
    """Show what has labels of a training image, the labels, and weights of the loss.

    Examples
    --------
    >>> ramp = np.arange(16.0).reshape(4, 4)
    >>> made = weight_figures(WeightExample("a", ramp[None], ramp > 8, ramp))
    >>> made[-1].caption
    'weights of the loss, 0 (black) to 15 (white)'
    """
    labels = example.labels.astype(np.intp)
    inner = [
        slice((length - target) // 2, (length - target) // 2 + target)
        for length, target in zip(example.image.shape[-2:], labels.shape, strict=True)
    ]
    part = example.image[:, inner[0], inner[1]]
    image, truth, *_ = comparison_panels(part, labels, labels)
    top = float(example.weights.max())
    return [
        figure(image, "image"),
        figure(truth, "labels"),
        figure(
            heat(example.weights),
            f"weights of the loss, 0 (black) to {top:.3g} (white)",
        ),
    ]


def heat(values: NDArray[Any]) -> Picture:
    """Paint 0 black, then red, yellow, and the largest value white.

    Examples
    --------
    >>> heat(np.array([[0.0, 2.0, 3.0]]))[0].tolist()
    [[0, 0, 0], [255, 255, 0], [255, 255, 255]]
    """
    share = values.astype(np.float32) / max(float(values.max()), 1e-12)
    channels = [np.clip(3 * share - number, 0, 1) for number in range(3)]
    return np.asarray(np.rint(255 * np.stack(channels, axis=-1)), np.uint8)


def kernel_figure(weights: NDArray[Any], caption: str) -> Figure:
    """Show the kernels of a layer in a grid, grey 0, all on one scale.

    Parameters
    ----------
    weights : ndarray, shape (kernels, channels, [Z,] Y, X)
        Three channels are shown as colours; of others the first, of volumes the
        middle slice.
    caption : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> made = kernel_figure(np.zeros((9, 1, 3, 3)), "nine")
    >>> made.width, made.height  # 8 and 1, with gaps
    (377, 95)
    """
    shown = weights[:MOST_KERNELS]
    if shown.ndim == 5:
        shown = shown[:, :, shown.shape[2] // 2]
    planes = (shown if shown.shape[1] == 3 else shown[:, :1]).transpose(0, 2, 3, 1)
    top = max(float(np.abs(planes).max()), 1e-12)
    grey = np.rint(127.5 * (1 + planes / top)).astype(np.uint8)
    factor = max(1, KERNEL_SIDE // max(grey.shape[1:3]))
    tiles = grey.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = (extent + 2 for extent in tiles.shape[1:3])
    columns = min(len(tiles), MOST_COLUMNS)
    rows = math.ceil(len(tiles) / columns)
    pixels = np.full((rows * height + 1, columns * width + 1, 3), WHITE, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top_, left = row * height + 1, column * width + 1
        pixels[top_ : top_ + height - 2, left : left + width - 2] = tile
    return figure(pixels, caption, side=max(pixels.shape))


def _middle(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.ndim == 2 else array[len(array) // 2]


def _nearest(image: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """Bring (C, Y, X) to the size of its truth, which the net saw smaller."""
    rows, columns = (
        (np.arange(target) * length // target)
        for length, target in zip(image.shape[-2:], size, strict=True)
    )
    return image[:, rows[:, None], columns]
