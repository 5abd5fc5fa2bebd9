"""Understand hand labels: 0/255 masks, classes, or cell instances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from pyunet.data.images import ImageStack, read_stack, read_volumes
from pyunet.errors import DataError

Kind = Literal["auto", "binary", "classes", "instances"]
POLARITY_MARGIN = 3.0
MOST_CLASSES = 16
MIN_INSTANCES = 4
KINDS = "--labels-are binary, classes or instances"


@dataclass(frozen=True)
class Labels:
    """Labels as training needs them.

    Attributes
    ----------
    classes : ndarray of uint8, shape (N, [Z,] Y, X)
        0 background or membrane, 1 inside of a cell, or the classes of the file.
    instances : ndarray of int32, shape (N, [Z,] Y, X)
        Cells, numbered within each slice or volume; 0 is background.
    sentence : str
        What was understood, for a person.
    """

    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]
    sentence: str


def read_labels(
    path: str | Path,
    *,
    kind: Kind = "auto",
    inside: int | None = None,
    images: ImageStack | None = None,
    volume: bool = False,
) -> Labels:
    """Read a label stack and say what it means.

    Parameters
    ----------
    path : str or Path
        As `read_stack` takes it.
    kind, inside
        As in `interpret_labels`.
    volume : bool, default False
        Read by `read_volumes`, to labels of shape (N, Z, Y, X).
    images : ImageStack, optional
        The images that the labels belong to; count and size must be equal.

    Raises
    ------
    DataError
        Labels that do not match the images, or as in `interpret_labels`.
    """
    read = read_volumes if volume else read_stack
    stack = read(path, palette_as_index=True)
    if images is not None:
        _check_match(images, stack, Path(path))
    array = stack.array
    if array.shape[1] > 1 and (array != array[:, :1]).any():
        raise DataError(
            f"{path}: labels with {array.shape[1]} different colour channels; "
            "expected one number per pixel (grey or palette)"
        )
    return interpret_labels(array[:, 0], kind=kind, inside=inside, name=str(path))


def interpret_labels(
    array: NDArray[Any],
    *,
    kind: Kind = "auto",
    inside: int | None = None,
    name: str = "labels",
) -> Labels:
    """Find classes and cells in label images, without silent guesses.

    ``auto`` decides as follows, and the sentence says what it found:

    * values 0 and 255 are masks. The inside of cells falls apart into many regions
      while membrane or background hangs together, so the value with more regions
      (counted by area: 1 / sum of squared area shares) is the inside. If neither
      has three times more than the other, ``inside`` must say it;
    * values 0, 1 are two classes;
    * 0..K-1 with several regions a value are classes; many values that each mark
      one region a slice are cells. Anything between must be said by ``kind``.

    Cells of masks and classes are 4-connected regions within each slice. Where two
    cells of an instance map touch, the one with the higher number gives up its
    rim of one pixel, so that background parts them.

    Parameters
    ----------
    array : ndarray, shape (N, [Z,] Y, X)
        Whole numbers of any type.
    kind : {"auto", "binary", "classes", "instances"}
        What the numbers are.
    inside : {255, 0}, optional
        For masks: does the higher (255) or the lower (0) value mark the inside?
    name : str
        What messages call it.

    Returns
    -------
    Labels

    Raises
    ------
    DataError
        One value only, fractions, negative numbers, or an ambiguous file; the text
        names the option to give.

    Examples
    --------
    >>> mask = np.kron(np.ones((1, 3, 3)), [[0, 0, 0], [0, 255, 255], [0, 255, 255]])
    >>> found = interpret_labels(mask)
    >>> found.classes.max(), found.instances.max()
    (np.uint8(1), np.int32(9))
    >>> print(found.sentence)
    labels: masks, 255 is the inside of cells (class 1, 44.4 % of pixels), 0 is \
membrane or background (class 0); 9 cells in 1 slice(s)
    """
    integers = _whole_numbers(array, name)
    values = np.unique(integers)
    if len(values) < 2:
        raise DataError(
            f"{name}: every pixel is {values[0]}; labels need two values or more"
        )
    if kind == "auto":
        kind = _find_kind(integers, values, name)
    if kind == "binary":
        return _binary(integers, values, inside, name)
    if kind == "classes":
        return _classes(integers, values, name)
    return _instances(integers, name)


def select_slices(labels: Labels, part: slice, *, name: str = "labels") -> Labels:
    """Keep some slices (of every volume), all of which must be there.

    Parameters
    ----------
    labels : Labels
        Whole stack.
    part : slice
        Slices counted from 0, with step 1.
    name : str
        What messages call it.

    Raises
    ------
    DataError
        A slice that is not there.

    Examples
    --------
    >>> labels = interpret_labels(np.arange(6).reshape(6, 1, 1) % 2)
    >>> len(select_slices(labels, slice(2, None)).classes)
    4
    >>> select_slices(labels, slice(4, 7))
    Traceback (most recent call last):
    pyunet.errors.DataError: labels: slices 4:7 of a stack that has slices 0:6
    """
    axis = labels.classes.ndim - 3
    count = labels.classes.shape[axis]
    first, last = part.start or 0, count if part.stop is None else part.stop
    if not 0 <= first < last <= count:
        raise DataError(
            f"{name}: slices {first}:{last} of a stack that has slices 0:{count}"
        )
    at = (slice(None),) * axis + (part,)
    return Labels(labels.classes[at], labels.instances[at], labels.sentence)


def _check_match(images: ImageStack, labels: ImageStack, path: Path) -> None:
    count, _, *size = images.array.shape
    label_count, _, *label_size = labels.array.shape
    if (count, size) == (label_count, label_size):
        return
    source = images.paths[0] if len(images.paths) == 1 else images.paths[0].parent
    raise DataError(
        f"{path}: {label_count} labels of {' x '.join(map(str, label_size))} pixels do "
        f"not match {source}: {count} images of {' x '.join(map(str, size))} pixels"
    )


def _whole_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.rint(array)).any():
            raise DataError(f"{name}: labels have fractions; expected whole numbers")
        array = array.astype(np.int64)
    if array.size and array.min() < 0:
        raise DataError(f"{name}: labels go down to {array.min()}; expected 0 or more")
    return array


def _find_kind(array: NDArray[Any], values: NDArray[Any], name: str) -> Kind:
    if values.tolist() in ([0, 255], [0, 65535]):
        return "binary"
    if values.tolist() == [0, 1]:
        return "classes"
    parts = _regions_per_value(array)
    dense = bool(values[-1] == len(values) - 1)
    if dense and len(values) <= MOST_CLASSES and parts >= 2:
        return "classes"
    if np.count_nonzero(values) >= MIN_INSTANCES and parts <= 1.2:
        return "instances"
    shown = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
    raise DataError(
        f"{name}: {len(values)} label values ({shown}) that may mean several things; "
        f"say {KINDS}"
    )


def _regions_per_value(array: NDArray[Any]) -> float:
    """Mean number of 8-connected regions that one value other than 0 has in a slice."""
    regions, pairs = 0, 0
    for plane in array:
        regions += int(_regions(plane, connectivity=2).max())
        pairs += int(np.count_nonzero(np.unique(plane)))
    return regions / max(pairs, 1)


def _binary(
    array: NDArray[Any], values: NDArray[Any], inside: int | None, name: str
) -> Labels:
    if len(values) != 2:
        raise DataError(f"{name}: {len(values)} values; binary labels have exactly two")
    low, high = values.tolist()
    above = array == high
    white = _white_is_inside(above, name) if inside is None else inside > 0
    mask = above if white else ~above
    cell, rest = (high, low) if white else (low, high)
    instances = _label_each(mask.astype(np.uint8))
    sentence = (
        f"{name}: masks, {cell} is the inside of cells (class 1, {mask.mean():.1%} of "
        f"pixels), {rest} is membrane or background (class 0); {_count(instances)}"
    ).replace("%", " %")
    return Labels(mask.astype(np.uint8), instances, sentence)


def _white_is_inside(above: NDArray[np.bool_], name: str) -> bool:
    ratios = [_effective_regions(p) / _effective_regions(~p) for p in above]
    ratio = float(np.median(ratios))
    if ratio >= POLARITY_MARGIN:
        return True
    if ratio <= 1 / POLARITY_MARGIN:
        return False
    raise DataError(
        f"{name}: 0/255 labels where neither value falls apart into cells (255 has "
        f"{ratio:.1f} times the regions of 0): say --inside 255 or --inside 0"
    )


def _effective_regions(mask: NDArray[np.bool_]) -> float:
    """Count 4-connected regions, each by its share of the area; at least 1."""
    areas = np.bincount(_regions(mask, connectivity=1).ravel())[1:]
    return (
        float(areas.sum() ** 2 / np.square(areas, dtype=float).sum())
        if mask.any()
        else 1.0
    )


def _classes(array: NDArray[Any], values: NDArray[Any], name: str) -> Labels:
    if values[-1] != len(values) - 1 or values[-1] > 255:
        shown = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
        raise DataError(f"{name}: classes {shown}; expected 0, 1, ... without gaps")
    classes = array.astype(np.uint8)
    shares = np.bincount(classes.ravel()) / classes.size
    listed = ", ".join(f"{c}: {share:.1%}" for c, share in enumerate(shares))
    instances = _label_each(classes)
    sentence = (
        f"{name}: {len(values)} classes ({listed} of pixels); {_count(instances)}"
    ).replace("%", " %")
    return Labels(classes, instances, sentence)


def _instances(array: NDArray[Any], name: str) -> Labels:
    dense = np.unique(array, return_inverse=True)[1].reshape(array.shape)
    instances = dense.astype(np.int32) + np.int32(array.min() > 0)
    touching = np.stack([_touches_lower(plane) for plane in instances])
    instances[touching] = 0
    sentence = (
        f"{name}: cell instances; {_count(instances)} (class 1), 0 is background "
        f"(class 0); {np.count_nonzero(touching)} pixels between touching cells made "
        "background"
    )
    return Labels((instances > 0).astype(np.uint8), instances, sentence)


def _touches_lower(plane: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Find pixels of a cell that have a cell of lower number among 8 neighbours."""
    none = np.iinfo(np.int32).max
    cells = np.where(plane > 0, plane, none)
    lowest = ndimage.minimum_filter(cells, size=3, mode="nearest")
    return np.asarray((plane > 0) & (lowest < plane))


def _label_each(classes: NDArray[np.uint8]) -> NDArray[np.int32]:
    planes = [_regions(p, connectivity=1) for p in classes]
    return np.stack(planes)


def _regions(plane: NDArray[Any], *, connectivity: Literal[1, 2]) -> NDArray[np.int32]:
    """Give every connected region of equal value a number; 0 is background."""
    numbered = measure.label(plane, background=0, connectivity=connectivity)  # type: ignore[no-untyped-call]
    return np.asarray(numbered, np.int32)


def _count(instances: NDArray[np.int32]) -> str:
    cells = sum(np.count_nonzero(np.unique(plane)) for plane in instances)
    what = "slice(s)" if instances.ndim == 3 else "volume(s)"
    return f"{cells} cells in {len(instances)} {what}"
