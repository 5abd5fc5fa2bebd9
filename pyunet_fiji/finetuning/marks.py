"""Read annotations: label images, and the ROIs of ImageJ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import Kind, Marks, Zero, label_marks
from pyunet_fiji.finetuning.images import read_hyperstack
from pyunet_fiji.finetuning.roi_files import read_overlay
from pyunet_fiji.finetuning.rois import RoiMarks

BACKGROUND_NAME = "Background"


def read_marks(
    path: str | Path, *, kind: Kind = "classes", zero: Zero = "ignore"
) -> Marks:
    """Read annotations from a file.

    ROIs are taken from ``.roi`` and ``.zip`` and from the overlay of a TIFF file that
    has one; any other image is a label image, and so is a picture in the overlay.

    Parameters
    ----------
    path : str or Path
    kind : {"classes", "instances"}
        What the numbers of a label image from the first object on mean.
    zero : {"ignore", "background"}
        What 0 means in a label image. ``ignore``: the plugin's numbers, 1 is background
        and objects start at 2. ``background``: objects start at 1; 0 and 255 alone are
        background and one class.

    Returns
    -------
    Marks

    Raises
    ------
    DataError
        A file that is no image and has no ROIs; labels with several channels, fractions
        or negative numbers; more than 254 classes; ROIs without the package that
        reads them.
    """
    path = Path(path)
    found = read_overlay(path)
    if found is None:
        array = _read_labels(path)
    elif found.picture is not None:
        array = found.picture
    else:
        return RoiMarks(found.rois, str(path))
    return label_marks(array, kind=kind, zero=zero, name=str(path))


def joint_class_names(
    marks: Iterable[Marks], *, known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Name the classes of all annotations together.

    Parameters
    ----------
    marks : iterable of Marks
    known : sequence of str
        Names that come first, those of the model; "Background" is the first of them.

    Returns
    -------
    tuple of str
        "Background", the known ones, then those of ROIs in the order of their first
        appearance, then "Class 1", ... for as many as a label image needs.

    Examples
    --------
    >>> import numpy as np
    >>> marks = label_marks(np.array([[[[1, 2, 3]]]]))
    >>> joint_class_names([marks], known=["Background", "cell"])
    ('Background', 'cell', 'Class 2')
    """
    names = list(known) or [BACKGROUND_NAME]
    count = 1
    for each in marks:
        names += [name for name in each.class_names if name not in names]
        count = max(count, each.class_count)
    names += [f"Class {number}" for number in range(len(names), count + 1)]
    return tuple(names)


def _read_labels(path: Path) -> NDArray[Any]:
    array = read_hyperstack(path, labels=True).array
    if array.shape[1] > 1 and (array != array[:, :1]).any():
        raise DataError(
            f"{path}: labels with {array.shape[1]} different colour channels; expected "
            "one number per pixel (grey or palette)"
        )
    return array[:, 0]
