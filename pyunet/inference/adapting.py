"""Bring images to the pixel size and the grey values that a trained net has seen.

What is done is said in the log, one line for each of the two; nothing is said where a
net takes images as they are stored, as the user's own do. Sizes are changed by
`Triangle`, which averages where it shrinks; scores come back by the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.data.greys import BY_TYPE, UnitRange
from pyunet.data.images import ImageStack
from pyunet.data.preparation import Preparation, eye_of
from pyunet.errors import DataError
from pyunet.inference.engine import VOLUME
from pyunet.inference.eyes import even_window, extent_of, eye_width, eye_window
from pyunet.inference.mapped import forget
from pyunet.inference.resize import Triangle
from pyunet.inference.tiling import Window
from pyunet.inference.windows import (
    FloatArray,
    Inputs,
    blocks,
    changed,
    everywhere,
    of_array,
    preparing_bytes,
    resampled,
    stacked,
)
from pyunet.memory import format_bytes
from pyunet.zoo.manifest import Input

LOG = logging.getLogger(__name__)
ALIKE = 0.02  # sizes that differ by less are the same
FARTHEST = 8.0
EYE_BYTES = 8  # 7.0 measured, for each pixel, while the field of view is looked for
MEAN_OFF, DEVIATION_OFF = 0.15, 1.5
FLAT = 1e-6  # of 0..1: what is below is rounding


def adapted_inputs(
    stack: ImageStack,
    wanted: Input,
    *,
    dimensions: int = 2,
    pixel_size_um: Sequence[float] | None = None,
    free: int | None = None,
) -> Inputs:
    """Prepare a stack for a net that a list of models describes.

    Parameters
    ----------
    stack : ImageStack
        (N, C, Y, X), of any number type.
    wanted : Input
        What the net was trained to see.
    dimensions : int, default 2
        Of the net: 2 takes slice by slice, 3 the stack as one volume.
    pixel_size_um : sequence of float, optional
        Of the images, (y, x); default: that of the net.
    free : int, optional
        Bytes that may be taken to look at images whole; default: any number.

    Returns
    -------
    Inputs

    Raises
    ------
    DataError
        Pixels more than 8 times larger or smaller than the net's, a size for a net of
        volumes, channels that the images lack, NaN or infinite values; one grey value
        everywhere, for a net that wants a deviation.

    Examples
    --------
    >>> stack = ImageStack(np.full((1, 1, 4, 6), 51, np.uint8), "a", [])
    >>> inputs = adapted_inputs(stack, Input(pixel_size_um=0.5), pixel_size_um=(1, 1))
    >>> inputs.extent, next(inputs.windows())(everywhere((8, 12))).shape
    ((8, 12), (1, 8, 12))
    """
    own = stack.array.shape[2:]
    if wanted.eye_width_px:
        _check_eye(stack, free)
        extent = _eye_extent(stack, wanted.eye_width_px)
    else:
        extent = _extent(stack.name, own, wanted, pixel_size_um)
    if dimensions == VOLUME and extent != own:
        raise DataError(
            f"{stack.name}: the net takes volumes, which are not rescaled for a "
            "prototxt; a .modeldef.h5 says its pixel size along all axes"
        )
    forth = None if extent == own else Triangle(own, extent)
    back = None if extent == own else Triangle(extent, own)
    images = _unit_images(stack, wanted)
    grey = _matching(stack, images, wanted)

    def planes() -> Iterator[Window]:
        for unit, raw in zip(images(), stack.array, strict=True):
            sized = resampled(unit, forth)
            if wanted.normalisation == "local contrast":
                eye = None
                if wanted.inside == "eye":
                    eye = eye_window(_eye(raw), forth)
                yield even_window(sized, extent, wanted.window_px, eye=eye)
            else:
                yield changed(sized, grey)

    if dimensions == VOLUME:
        volume = (len(stack.array), *own)
        return Inputs(1, volume, lambda: iter([stacked(list(planes()))]), volume)
    held = 0 if _is_as_stored(wanted) else preparing_bytes(own)
    if wanted.inside == "eye":
        held += EYE_BYTES * math.prod(own)
    return Inputs(len(stack.array), extent, planes, own, back, held)


def _is_as_stored(wanted: Input) -> bool:
    """Tell whether nothing of an image is changed but the scale of its grey values."""
    return wanted == Input(channels=wanted.channels, take="as stored")


def unit_range(stack: ImageStack) -> UnitRange:
    """Find the grey values that become 0 and 1, over all of a stack.

    Raises
    ------
    DataError
        NaN or infinite values.
    """
    array = stack.array
    parts = (
        window(at)
        for window in map(of_array, array)
        for at in blocks(everywhere(array.shape[2:]))
    )
    return UnitRange.of(array.dtype, parts, name=stack.name)


def _check_eye(stack: ImageStack, free: int | None) -> None:
    """See that the field of view can be looked for within the memory."""
    needed = EYE_BYTES * math.prod(stack.array.shape[2:])
    if free is not None and needed > free:
        raise DataError(
            f"{stack.name}: to find the field of view takes {format_bytes(needed)}, "
            f"{EYE_BYTES} bytes a pixel; of the memory limit {format_bytes(free)} are "
            "left: raise the memory limit"
        )


def _eye(raw: NDArray[Any]) -> NDArray[np.bool_]:
    found = eye_of(raw)
    forget(raw)
    return found


def _extent(
    name: str, own: tuple[int, ...], wanted: Input, size: Sequence[float] | None
) -> tuple[int, ...]:
    """Give the pixels that the net sees."""
    net = wanted.pixel_size_um
    if not net or size is None:
        return own
    scales = [one / net for one in size]
    if not all(1 / FARTHEST <= scale <= FARTHEST for scale in scales):
        raise DataError(
            f"{name}: {_listed(size)} um a pixel, the model's are {net:g} um; accepted "
            f"is up to {FARTHEST:g} times more or less"
        )
    if all(abs(scale - 1) < ALIKE for scale in scales):
        LOG.info("%s: %s um a pixel, as the model's", name, _listed(size))
        return own
    pairs = zip(own, scales, strict=True)
    new = tuple(max(1, round(pixels * scale)) for pixels, scale in pairs)
    LOG.info(
        "%s: %s um a pixel, the model's are %g um: %s pixels become %s for the net",
        name, _listed(size), net, _listed(own), _listed(new),
    )  # fmt: skip
    return new


def _eye_extent(stack: ImageStack, wanted_px: float) -> tuple[int, ...]:
    """Give the pixels that the net sees of photographs of the retina."""
    own = stack.array.shape[2:]
    width = eye_width(_eye(image) for image in stack.array)
    extent = extent_of(own, width, wanted_px, name=stack.name)
    if not width:
        LOG.info("%s: no edge of the field of view is seen, size as it is", stack.name)
    elif extent == own:
        LOG.info("%s: field of view %g pixels wide, as the model's", stack.name, width)
    else:
        LOG.info(
            "%s: field of view %g pixels wide, the model's %g: %s pixels become %s "
            "for the net",
            stack.name, width, wanted_px, _listed(own), _listed(extent),
        )  # fmt: skip
    return extent


def _unit_images(stack: ImageStack, wanted: Input) -> Callable[[], Iterator[Window]]:
    """Give the net's channels of every image, 0..1."""
    array = stack.array
    known = array.dtype.newbyteorder("=") in BY_TYPE
    prepare = Preparation(wanted.take, window=None if known else (0.0, 1.0))
    count = prepare.count(array.shape[1])
    if count != wanted.channels:
        raise DataError(
            f"{stack.name}: has {array.shape[1]} channel(s), of which '{wanted.take}' "
            f"makes {count}; the net takes {wanted.channels}"
        )
    # one scale for all of the stack
    scale = None if known else unit_range(stack)

    def unit(part: NDArray[Any]) -> FloatArray:
        try:
            return prepare.apply(part if scale is None else scale.apply(part))
        except DataError as error:
            raise DataError(f"{stack.name}: {error}") from error

    return lambda: (changed(of_array(image), unit) for image in array)


def _matching(
    stack: ImageStack, images: Callable[[], Iterator[Window]], wanted: Input
) -> Callable[[FloatArray], FloatArray]:
    """Say what is done to grey values, and give what is left to do."""
    name = stack.name
    if wanted.normalisation == "local contrast":
        LOG.info(
            "%s: %s, contrast made the same within %g pixels",
            name, wanted.take, wanted.window_px,
        )  # fmt: skip
        return lambda image: image
    how = f"{wanted.take} values of {stack.array.dtype} to 0..1"
    if not wanted.deviation:
        if not _is_as_stored(wanted):
            LOG.info("%s: %s", name, how)
        return lambda image: image
    everything = everywhere(stack.array.shape[2:])
    parts = (window(at) for window in images() for at in blocks(everything))
    mean, deviation = _statistics(parts)
    if not deviation > FLAT:
        raise DataError(
            f"{name}: the grey value is the same everywhere; expected an image whose "
            f"deviation can be brought to the model's {wanted.deviation:.3g}"
        )
    gain = wanted.deviation / deviation
    near = max(gain, 1 / gain) <= DEVIATION_OFF
    if near and abs(mean - wanted.mean) <= MEAN_OFF:
        LOG.info("%s: %s, like those that the model was trained on", name, how)
        return lambda image: image
    LOG.info(
        "%s: %s; their mean %.3g and deviation %.3g brought to the model's %.3g and "
        "%.3g", name, how, mean, deviation, wanted.mean, wanted.deviation,
    )  # fmt: skip
    offset = wanted.mean - gain * mean
    return lambda image: np.clip(
        image * np.float32(gain) + np.float32(offset), 0, 1, dtype=np.float32
    )


def _statistics(parts: Iterator[FloatArray]) -> tuple[float, float]:
    """Give mean and standard deviation of all pixels."""
    count, total, squares = 0, 0.0, 0.0
    for part in parts:
        count += part.size
        total += float(part.sum(dtype=np.float64))
        squares += float(np.square(part, dtype=np.float64).sum())
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0)))


def _listed(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
