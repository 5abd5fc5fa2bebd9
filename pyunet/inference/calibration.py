"""How many micrometres a pixel of an image has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pyunet.data.images import TIFF, Resolution
from pyunet.errors import DataError
from pyunet.tiffs import opened_tiff

LOG = logging.getLogger(__name__)
MICROMETRE = ("um", "\u00b5m", "\u03bcm", "\\u00B5m", "micron", "microns", "micrometer")
UM_PER_UNIT = {"m": 1e6, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6}
CENTIMETRE = 3  # TIFF's ResolutionUnit


def find_element_size(
    resolution: Resolution | None,
    model_um: Sequence[float],
    *,
    given: Sequence[float] | None = None,
    name: str = "image",
) -> tuple[float, ...]:
    """Decide on the pixel size of an image that goes into a net.

    Parameters
    ----------
    resolution : Resolution or None
        What the image's file says.
    model_um : sequence of float
        The net's pixel size, (z)yx, in micrometres.
    given : sequence of float, optional
        The user's word, which goes before the file's; one number goes for all axes.
    name : str
        What messages call the image.

    Returns
    -------
    tuple of float
        (z)yx in micrometres. Where nobody says it, the net's own, with one line in the
        log.

    Raises
    ------
    DataError
        Another number of axes than the net's.

    Examples
    --------
    >>> find_element_size(None, (1.0, 0.5, 0.5), given=[0.25])
    (0.25, 0.25, 0.25)
    >>> find_element_size(Resolution(4, 4, unit_name="micron"), (0.5, 0.5))
    (0.25, 0.25)
    """
    axes = len(model_um)
    if given is not None:
        sizes = tuple(given) * axes if len(given) == 1 else tuple(given)
        if len(sizes) != axes:
            raise DataError(
                f"element size {'x'.join(f'{size:g}' for size in given)}: the model "
                f"has {axes} axes; accepted are one number or {axes}"
            )
        return sizes
    unit = _um_a_unit(resolution)
    if resolution is None or unit is None:
        _taken(name, "does not say how large its pixels are", model_um)
        return tuple(model_um)
    plane = (unit / resolution.y, unit / resolution.x)
    if axes == len(plane):
        return plane
    if resolution.spacing is None:
        _taken(name, "does not say how far its slices lie apart", model_um[:1])
        return (model_um[0], *plane)
    return (abs(resolution.spacing) * unit, *plane)


def states_size(resolution: Resolution | None) -> bool:
    """Tell whether a file says how large its pixels are.

    >>> states_size(Resolution(72, 72, unit=2)), states_size(Resolution(9, 9, unit=3))
    (False, True)
    """
    return _um_a_unit(resolution) is not None


def frame_count(path: Path) -> int:
    """Give the number of time frames of a TIFF file; 1 for everything else.

    Raises
    ------
    DataError
        A damaged file.
    """
    if not path.is_file() or path.suffix.lower() not in TIFF:
        return 1
    with opened_tiff(path) as tiff:
        series = tiff.series[0]
        frames = dict(zip(series.axes, series.shape, strict=True)).get("T", 1)
        return int(frames)


def _um_a_unit(resolution: Resolution | None) -> float | None:
    """Give the micrometres of a file's unit; None where it has no length.

    Dots an inch are what printers and cameras fill in, and say nothing of a specimen.
    """
    if resolution is None:
        return None
    if resolution.unit_name is None:
        return UM_PER_UNIT["cm"] if resolution.unit == CENTIMETRE else None
    if resolution.unit_name in MICROMETRE:
        return 1.0
    return UM_PER_UNIT.get(resolution.unit_name)


def _taken(name: str, lack: str, sizes: Sequence[float]) -> None:
    LOG.warning(
        "%s: %s: taken as the model's %s um; --element-size-um says it",
        name, lack, " x ".join(f"{size:g}" for size in sizes),
    )  # fmt: skip
