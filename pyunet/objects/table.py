"""A table of objects: size, centre and bounding box of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from pyunet.csv_text import csv_text
from pyunet.files import atomic_path

Row = dict[str, "float | int | str"]
SIZES = {2: ("area", "2"), 3: ("volume", "3")}


def object_rows(
    objects: NDArray[np.integer[Any]],
    labels: NDArray[np.integer[Any]],
    *,
    pixel_size_um: Sequence[float] | None = None,
    classes: Sequence[str] = (),
) -> list[Row]:
    """Measure the objects of one image or volume.

    Places are distances from the image's upper left corner, as ImageJ gives them: the
    centre of the first pixel is at half a pixel.

    Parameters
    ----------
    objects : ndarray of int, shape ([Z,] Y, X)
        0 is background.
    labels : ndarray of int, same shape
        The class of each pixel.
    pixel_size_um : sequence of float, optional
        (z)yx in micrometres; default: all is in pixels.
    classes : sequence of str
        Names of the classes; default: their numbers.

    Returns
    -------
    list of dict
        ``label``, ``class``, ``area_um2`` (volumes: ``volume_um3``), ``centroid_y_um``,
        ``centroid_x_um``, and the bounding box from ``first_y_um``, ``first_x_um`` to
        ``last_y_um``, ``last_x_um``; with ``px`` in place of ``um``, and no power,
        where sizes are not known.

    Examples
    --------
    >>> objects = np.array([[0, 1, 1], [0, 0, 0]])
    >>> row, = object_rows(objects, objects, pixel_size_um=(0.5, 0.5))
    >>> row["area_um2"], row["centroid_x_um"], row["first_x_um"], row["last_x_um"]
    (0.5, 1.0, 0.5, 1.5)
    """
    axes = "zyx"[-objects.ndim :]
    unit = "px" if pixel_size_um is None else "um"
    sizes = [1.0] * objects.ndim if pixel_size_um is None else list(pixel_size_um)
    properties = measure.regionprops_table(  # type: ignore[no-untyped-call]
        objects,
        labels,
        properties=("label", "area", "centroid", "bbox", "intensity_max"),
    )
    rows = []
    for i in range(len(properties["label"])):
        number = int(properties["intensity_max"][i])
        row: Row = {
            "label": int(properties["label"][i]),
            "class": classes[number] if number < len(classes) else number,
            size_column(objects.ndim, unit): float(
                properties["area"][i] * np.prod(sizes)
            ),
        }
        for title, key, shift in (
            ("centroid", "centroid-{}", 0.5), ("first", "bbox-{}", 0.0),
        ):  # fmt: skip
            for k, axis in enumerate(axes):
                place = float(properties[key.format(k)][i]) + shift
                row[f"{title}_{axis}_{unit}"] = place * sizes[k]
        for k, axis in enumerate(axes):
            last = float(properties[f"bbox-{objects.ndim + k}"][i])
            row[f"last_{axis}_{unit}"] = last * sizes[k]
        rows.append(row)
    return rows


def size_column(dimensions: int, unit: str) -> str:
    """Name the column of areas or volumes.

    >>> size_column(2, "um"), size_column(3, "px")
    ('area_um2', 'volume_px')
    """
    what, power = SIZES[dimensions]
    return f"{what}_{unit}{power if unit == 'um' else ''}"


def columns(dimensions: int, unit: str) -> list[str]:
    """Name all columns of `object_rows`, in order.

    >>> columns(2, "px")[:4]
    ['label', 'class', 'area_px', 'centroid_y_px']
    """
    axes = "zyx"[-dimensions:]
    places = [f"{t}_{a}_{unit}" for t in ("centroid", "first", "last") for a in axes]
    return ["label", "class", size_column(dimensions, unit), *places]


def write_table(path: str | Path, rows: Iterable[Row], names: Sequence[str]) -> None:
    """Write rows as CSV, numbers with six digits.

    Parameters
    ----------
    path : str or Path
    rows : iterable of dict
    names : sequence of str
        The columns.

    Raises
    ------
    DataError
        A file that cannot be written.
    """
    shown = ([_shown(row[name]) for name in names] for row in rows)
    text = csv_text([names, *shown])
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _shown(value: float | int | str) -> float | int | str:
    return f"{value:.6g}" if isinstance(value, float) else value
