"""Hand annotations as the plugin understands them: classes and instances.

Source: modeldef_h5.md, section 4. A file holds `Marks`: numbers of a label image, or
ROIs; once the classes of all files are known, ``drawn`` makes the `Annotation` of
an image of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet_fiji.finetuning.images import VOLUME
from pyunet_fiji.modeldef.rescaling import rescale_labels

Kind = Literal["classes", "instances"]
Zero = Literal["ignore", "background"]
IGNORE, BACKGROUND, FIRST_CLASS = 0, 1, 2
MOST_CLASSES = 254
MASK_8_BIT = [0, 255]


@dataclass(frozen=True)
class Annotation:
    """What was annotated, pixel by pixel.

    Attributes
    ----------
    classes : ndarray of uint8, shape (N, [Z,] Y, X)
        0 ignore, 1 background, 2 and more the classes.
    instances : ndarray of int32, shape (N, K, [Z,] Y, X)
        For each class from 2 on the numbers of its objects; 0 where there is none.
    """

    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]

    def rescaled(
        self, element_size_um: Sequence[float], wanted_um: Sequence[float]
    ) -> Annotation:
        """Give the annotation at another pixel size, as `rescale_labels` does."""
        return Annotation(
            rescale_labels(self.classes, element_size_um, wanted_um),
            rescale_labels(self.instances, element_size_um, wanted_um),
        )


class Marks(Protocol):
    """An annotation before it is known how many classes all images have together."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes but background; empty where they have none."""

    @property
    def class_count(self) -> int:
        """How many classes but background there are at least."""

    def drawn(
        self,
        shape: Sequence[int],
        dimensions: int,
        class_names: Sequence[str],
        *,
        stack_channels: int = 1,
        disk_radius_px: int = 2,
    ) -> Annotation:
        """Draw the annotation of an image.

        Parameters
        ----------
        shape : (T, Z, Y, X)
            Of the image.
        dimensions : int
            Of the net, 2 or 3; for 2 each slice becomes a frame.
        class_names : sequence of str
            "Background" first.
        stack_channels : int, default 1
            As `Hyperstack` has it: positions of ROIs count them.
        disk_radius_px : int, default 2
            Of the disks that stand for points.

        Raises
        ------
        DataError
            A class that is not among the names, another size than the image.
        """


@dataclass(frozen=True)
class MaskMarks:
    """A label image.

    Attributes
    ----------
    mask : ndarray of integers, shape (T, Z, Y, X)
        The plugin's numbers: 0 ignore, 1 background, 2 and more classes or instances.
    kind : {"classes", "instances"}
        What numbers from 2 on mean. Instances are all of one class; the instances of
        a class are its regions that hang together by faces.
    name : str
        What messages call it.

    Examples
    --------
    >>> marks = MaskMarks(np.array([[[[2, 1, 2, 3]]]]), "classes", "mask")
    >>> marks.class_count
    2
    >>> marks.drawn((1, 1, 1, 4), 2, ("Background", "a", "b")).instances.tolist()
    [[[[1, 0, 2, 0]], [[0, 0, 0, 1]]]]
    """

    mask: NDArray[np.integer[Any]]
    kind: Kind
    name: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of a label image have no names."""
        return ()

    @property
    def class_count(self) -> int:
        """Number of the highest class."""
        if self.kind == "instances":
            return 1
        return max(int(self.mask.max()) - BACKGROUND, 1)

    def drawn(
        self,
        shape: Sequence[int],
        dimensions: int,
        class_names: Sequence[str],
        *,
        stack_channels: int = 1,
        disk_radius_px: int = 2,
    ) -> Annotation:
        """Draw the annotation; see `Marks`."""
        times, slices, *plane = shape
        own = self.mask.shape
        # label files seldom say what is time and what depth: their order does
        if (own[0] * own[1], *own[2:]) != (times * slices, *plane):
            raise DataError(
                f"{self.name}: labels of {own} frames, slices, rows and columns for an "
                f"image of {tuple(shape)}; accepted is the same size"
            )
        if self.class_count >= len(class_names):
            raise DataError(
                f"{self.name}: {self.class_count} classes, but the names are "
                f"{', '.join(class_names)}"
            )
        mask = by_frame(self.mask.reshape(tuple(shape)), dimensions)
        classes = np.minimum(mask, FIRST_CLASS) if self.kind == "instances" else mask
        instances = np.zeros(
            (len(mask), len(class_names) - 1, *mask.shape[1:]), np.int32
        )
        if self.kind == "instances":
            instances[:, 0] = np.where(mask >= FIRST_CLASS, mask, 0)
        else:
            for frame, cells in zip(mask, instances, strict=True):
                for number in range(self.class_count):
                    cells[number] = _regions(frame == number + FIRST_CLASS)
        return Annotation(classes.astype(np.uint8), instances)


def label_marks(
    array: NDArray[Any],
    *,
    kind: Kind = "classes",
    zero: Zero = "ignore",
    name: str = "labels",
) -> MaskMarks:
    """Understand a label image.

    Parameters
    ----------
    array : ndarray, shape (T, Z, Y, X)
        Whole numbers of any type.
    kind, zero
        As `read_marks` has them.
    name : str
        What messages call it.

    Returns
    -------
    MaskMarks

    Raises
    ------
    DataError
        Fractions or negative numbers, more than 254 classes, nothing but "ignore" and
        background.

    Examples
    --------
    >>> label_marks(np.array([[[[0, 1, 3]]]]), zero="background").mask.tolist()
    [[[[1, 2, 4]]]]
    """
    if not np.isfinite(array).all() or (array < 0).any() or (array % 1 != 0).any():
        raise DataError(f"{name}: accepted labels are whole numbers of 0 and more")
    whole = array.astype(np.int64)
    if zero == "background":
        if np.unique(whole).tolist() == MASK_8_BIT:
            whole //= MASK_8_BIT[-1]
        whole += BACKGROUND
    if whole.max() == BACKGROUND and whole.min() == IGNORE:
        raise DataError(
            f"{name}: the labels are 0 (ignore) and 1 (background), and objects start "
            "at 2; if 1 marks objects, 0 must be called background"
        )
    most = MOST_CLASSES + BACKGROUND if kind == "classes" else np.iinfo(np.int32).max
    if whole.max() > most:
        raise DataError(
            f"{name}: labels up to {array.max()}; accepted are at most {MOST_CLASSES} "
            "classes, or instances"
        )
    return MaskMarks(whole, kind, name)


def by_frame(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Arrange (T, Z, Y, X) for a net: (T * Z, Y, X) where it is 2-D."""
    return array if dimensions == VOLUME else array.reshape(-1, *array.shape[2:])


def _regions(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    from scipy import ndimage

    numbered, _ = ndimage.label(mask)
    return np.asarray(numbered, np.int32)
