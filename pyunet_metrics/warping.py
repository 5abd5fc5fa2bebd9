"""Warping error: the mergers and splits that no change of shape explains.

The truth is bent towards a proposal by flipping simple points only, pixels whose flip
changes no topology. Where the two still differ afterwards, something was merged, split,
added or lost. Inside is 4-connected and membrane 8-connected, everywhere.
"""

from __future__ import annotations

from functools import cache
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from tqdm import tqdm

from pyunet_metrics.curves import stacks, thresholds

MERGE, SPLIT, HOLE_ADDITION, OBJECT_DELETION, OBJECT_ADDITION, HOLE_DELETION = (
    1, 2, 4, 8, 16, 32,
)  # fmt: skip
RADIUS = 20
THRESHOLDS = thresholds(0.1, 0.9)
_NONE = -1  # outside the image
_EIGHT = np.ones((3, 3), int)
# Neighbours clockwise from the one above; the bit of each in a pixel's code.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


@cache
def simple_codes() -> bytes:
    """Return which neighbourhoods make a pixel simple, its own value left out.

    A code has bit ``i`` set where neighbour ``i`` is inside, clockwise from the one
    above. Simple are those with one 4-connected part inside that touches the pixel by
    a side, and one 8-connected part outside: crossing number 1.

    Returns
    -------
    bytes
        256 flags.

    References
    ----------
    S. Yokoi, J. Toriwaki, T. Fukumura, "An analysis of topological properties of
    digitized binary pictures using local features", CGIP 4, 1975.

    Examples
    --------
    >>> sum(simple_codes())
    116
    """
    inside = np.arange(256)[:, None] >> np.arange(8) & 1
    side, corner, next_side = (np.roll(inside, -k, 1)[:, ::2] for k in range(3))
    crossings = (side - side * corner * next_side).sum(axis=1)
    return bytes((crossings == 1).astype(np.uint8))


def turns(differ: NDArray[np.bool_], distance: NDArray[Any]) -> NDArray[np.intp]:
    """Return the pixels of a mask in the order in which `warp` is to visit them.

    Parameters
    ----------
    differ : array of bool, shape (Y, X)
        Where truth and proposal differ.
    distance : array of float, shape (Y, X)
        Pixels are visited from the largest to the smallest, equal ones column by
        column.

    Returns
    -------
    array of int, shape (pixels,)
        Places in the flattened mask.

    Examples
    --------
    >>> turns(np.ones((2, 2), bool), np.array([[0.1, 0.1], [0.1, 0.4]])).tolist()
    [3, 0, 2, 1]
    """
    height, width = differ.shape
    columns = np.flatnonzero(differ.T.ravel())
    by_distance = np.argsort(-distance.T.ravel()[columns], kind="stable")
    places = columns[by_distance]
    return np.asarray(places % height * width + places // height)


def warp(truth: NDArray[np.bool_], order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Bend a mask towards another without changing its topology.

    Pass after pass, the pixels that differ are visited in one order, and those that are
    simple at that moment flip, until a pass flips none.

    Parameters
    ----------
    truth : array of bool, shape (Y, X)
        The mask to bend.
    order : array of int
        The pixels that are to change, from `turns`.

    Returns
    -------
    array of bool, shape (Y, X)
        The truth, bent. Beyond the image is membrane that never changes.

    Notes
    -----
    A pixel that was not simple at its turn needs no look before a neighbour flips. So
    all that are simple wait in one queue for their next turn, by pass and by place in
    the order, and the time is that of the flips, however many passes there are.

    Examples
    --------
    A bump is taken in, a second object is not:

    >>> truth = np.array([[1, 1, 0, 0, 0]], bool)
    >>> warp(truth, np.array([2, 4])).astype(int).tolist()
    [[1, 1, 1, 0, 0]]
    """
    bent = np.pad(truth, 1)
    width = truth.shape[1]
    pixels = (order // width + 1) * (width + 2) + order % width + 1
    _flip(bent.reshape(-1), pixels, _codes(bent), width + 2)
    return bent[1:-1, 1:-1]


def _codes(padded: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the code of each pixel of a padded mask; 0 on the frame."""
    codes = np.zeros(padded.shape, np.uint8)
    height, width = padded.shape
    for bit, (y, x) in enumerate(_RING):
        part = padded[1 + y : height - 1 + y, 1 + x : width - 1 + x]
        codes[1:-1, 1:-1] |= part.view(np.uint8) << np.uint8(bit)
    return codes


@cache
def _neighbours() -> tuple[tuple[int, int, int, bytes], ...]:
    """Return of each neighbour: where it is, the bit by which it sees this pixel.

    And at which of its codes a flip of that bit makes it simple.
    """
    simple = np.frombuffer(simple_codes(), np.uint8)
    codes = np.arange(256)
    neighbours = []
    for number, (y, x) in enumerate(_RING):
        bit = 1 << (number + 4) % 8  # seen from there, this is the opposite side
        becomes = simple[codes ^ bit] > simple
        neighbours.append((y, x, bit, becomes.tobytes()))
    return tuple(neighbours)


def _flip(
    bent: NDArray[np.bool_],
    pixels: NDArray[np.intp],
    codes: NDArray[np.uint8],
    width: int,
) -> None:
    """Flip `pixels` (flat indices, in order of turn) of `bent` where they are simple.

    A key of the queue is ``number of the pass * count + turn``.
    """
    count = pixels.size
    simple = simple_codes()
    of_pixel = np.full(bent.size, _NONE)
    of_pixel[pixels] = np.arange(count)
    flat = codes.reshape(-1)
    queue = np.flatnonzero(np.frombuffer(simple, np.uint8)[flat[pixels]]).tolist()
    code, turn, place = bytearray(flat), of_pixel.tolist(), pixels.tolist()
    around = [(y * width + x, bit, becomes) for y, x, bit, becomes in _neighbours()]
    while queue:
        key = heappop(queue)
        mine = key % count
        pixel = place[mine]
        if turn[pixel] < 0 or not simple[code[pixel]]:
            continue
        turn[pixel] = _NONE
        for offset, bit, becomes in around:
            other = pixel + offset
            before = code[other]
            code[other] = before ^ bit
            # One that was simple before is in the queue already.
            if becomes[before] and turn[other] >= 0:
                ahead = turn[other] - mine
                heappush(queue, key + (ahead if ahead > 0 else ahead + count))
    bent[pixels[np.array(turn)[pixels] < 0]] ^= True


def mismatches(
    bent: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    shown: tuple[float, float] = (0.0, 1.0),
    radius: int = RADIUS,
) -> NDArray[np.uint8]:
    """Say of each pixel that still differs which change of topology it stands for.

    Parameters
    ----------
    bent, predicted : array of bool, shape (Y, X)
        The bent truth and the proposal.
    shown : tuple of float
        Smallest and largest label of the truth. The official program looks at objects
        through the display range of the label image: none is seen where it is empty
        or larger than 510.
    radius : int
        A pixel splits its object if the parts do not meet within so many pixels; with
        less than 1 or more than the image, anywhere in the image.

    Returns
    -------
    array of uint8, shape (Y, X)
        0, MERGE, SPLIT, HOLE_ADDITION, OBJECT_DELETION, OBJECT_ADDITION or
        HOLE_DELETION.

    Examples
    --------
    >>> bent = np.array([[1, 0, 1]], bool)
    >>> mismatches(bent, np.ones((1, 3), bool), radius=0).tolist()
    [[0, 4, 0]]
    """
    height, width = bent.shape
    seen = _as_shown(bent, shown)
    objects = np.pad(ndimage.label(seen)[0], 1, constant_values=_NONE)
    ys, xs = np.nonzero(bent != predicted)
    around = np.stack([objects[ys + 1 + y, xs + 1 + x] for y, x in _RING])
    distinct = _distinct(around)
    inside = objects[ys + 1, xs + 1] > 0
    only_membrane = (distinct == 1) & (around.max(axis=0, initial=_NONE) == 0)
    kinds = np.select(
        [only_membrane, distinct == 1, distinct == 2],
        [
            np.where(inside, OBJECT_DELETION, OBJECT_ADDITION),
            np.where(inside, HOLE_ADDITION, HOLE_DELETION),
            np.where(inside, HOLE_DELETION, HOLE_ADDITION),
        ],
        np.where(inside, SPLIT, MERGE),
    )
    whole = not 1 <= radius <= min(height, width)
    asked = np.flatnonzero((distinct == 2) & inside)
    for number in asked[_parted(seen if whole else bent, ys[asked], xs[asked])]:
        middle = int(ys[number]), int(xs[number])
        if _splits(seen if whole else bent, middle, None if whole else radius):
            kinds[number] = SPLIT
    result = np.zeros(bent.shape, np.uint8)
    result[ys, xs] = kinds
    return result


def _as_shown(bent: NDArray[np.bool_], shown: tuple[float, float]) -> NDArray[np.bool_]:
    """Return what of 0 and 1 is not black in an 8-bit image of a display range."""
    low, high = shown
    if low == high == 0:
        low, high = float(bent.min()), float(bent.max())
    if low == high:
        return np.zeros_like(bent)
    grey = (np.array([0, 1]) - low) * 255 / (high - low)
    return np.asarray((np.floor(grey + 0.5) > 0)[bent.astype(np.intp)])


def _distinct(around: NDArray[Any]) -> NDArray[np.intp]:
    """Count the distinct values of each column, `_NONE` left out."""
    ordered = np.sort(around, axis=0)
    new = np.ones(ordered.shape, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return np.asarray((new & (ordered != _NONE)).sum(axis=0))


def _parted(
    mask: NDArray[np.bool_], ys: NDArray[np.intp], xs: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return which pixels have neighbours inside in two or more runs round them.

    Those of one run are neighbours of each other, whatever lies farther off.
    """
    padded = np.pad(mask, 1)
    ring = np.stack([padded[ys + 1 + y, xs + 1 + x] for y, x in _RING])
    return np.asarray((ring & ~np.roll(ring, 1, axis=0)).sum(axis=0) > 1)


def _splits(
    mask: NDArray[np.bool_], middle: tuple[int, int], radius: int | None
) -> bool:
    """Return whether the neighbours show over two values once the pixel is membrane.

    Beyond the image is membrane, too, but has no value without a radius.
    """
    y, x = middle
    if radius is None:
        window, frame = mask.copy(), _NONE
    else:
        top, left = max(y - radius, 0), max(x - radius, 0)
        window, frame = mask[top : y + radius + 1, left : x + radius + 1].copy(), 0
        y, x = y - top, x - left
    window[y, x] = False
    labels = np.pad(ndimage.label(window)[0], 1, constant_values=frame)
    around = labels[y : y + 3, x : x + 3].ravel()[[0, 1, 2, 3, 5, 6, 7, 8]]
    return len(set(around.tolist()) - {_NONE}) > 2


def error_counts(kinds: NDArray[np.uint8]) -> tuple[int, int]:
    """Count the mergers and splits of `mismatches`: as pixels, and as groups.

    Pixels of one group touch: mergers by a side or corner, splits by a side.

    Examples
    --------
    >>> error_counts(np.array([[MERGE, MERGE, 0, SPLIT]], np.uint8))
    (3, 2)
    """
    merged, split = kinds == MERGE, kinds == SPLIT
    groups = ndimage.label(merged, _EIGHT)[1] + ndimage.label(split)[1]
    return int(merged.sum() + split.sum()), int(groups)


def counts(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    radius: int = RADIUS,
    progress: bool = False,
) -> NDArray[np.int64]:
    """Count mergers and splits of every slice at every threshold.

    Parameters
    ----------
    truth : array, shape (Y, X) or (Z, Y, X)
        Above 0 is inside, all else membrane.
    prediction : array, same shape
        Probability of inside; above a threshold is inside.
    radius : int
        As of `mismatches`.
    progress : bool, default False
        Show a bar on stderr if that is a terminal.

    Returns
    -------
    array of int64, shape (10, Z, 2)
        At the thresholds 0, 0.1, ..., 0.9: pixels and groups, as of `error_counts`.

    Raises
    ------
    DataError
        Shapes that differ or have not 2 or 3 axes, no pixels, NaN.

    Examples
    --------
    A gap in the membrane between two objects merges them:

    >>> truth = [[1, 0, 1], [1, 0, 1], [1, 0, 1]]
    >>> prediction = [[1, 0, 1], [1, 0.45, 1], [1, 0, 1]]
    >>> counts(truth, prediction)[:, 0, 0].tolist()
    [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    """
    true, predicted = stacks(truth, prediction)
    hide = None if progress else True
    pairs = zip(true, predicted, _shown(true), strict=True)
    each = [
        _of_slice(
            true_slice.astype(np.float32),
            predicted_slice.astype(np.float32),
            shown,
            radius,
        )
        for true_slice, predicted_slice, shown in tqdm(
            pairs, "warping", len(true), unit="slice", disable=hide
        )
    ]
    return np.array(each, np.int64).swapaxes(0, 1)


def _shown(truth: NDArray[Any]) -> list[tuple[float, float]]:
    """Return the display range that ImageJ gives each slice of labels.

    An 8-bit slice has its own, those of other types share that of the stack.
    """
    parts = truth if truth.dtype.itemsize == 1 else [truth] * len(truth)
    return [(float(part.min()), float(part.max())) for part in parts]


def _of_slice(
    truth: NDArray[np.float32],
    prediction: NDArray[np.float32],
    shown: tuple[float, float],
    radius: int,
) -> list[tuple[int, int]]:
    true, values = truth > 0, prediction.astype(np.float64)
    result: list[tuple[int, int]] = []
    last: tuple[Any, ...] = ()
    for threshold in THRESHOLDS:
        predicted = values > threshold
        distance = np.abs(values - threshold).astype(np.float32)
        order = turns(true != predicted, distance)
        if not (last and all(map(np.array_equal, last, (predicted, order)))):
            kinds = mismatches(warp(true, order), predicted, shown=shown, radius=radius)
            count = error_counts(kinds)
        result.append(count)
        last = predicted, order
    return result
