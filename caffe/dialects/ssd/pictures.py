"""What SSD does to pictures before a net sees them.

Pictures are (height, width, channels) in uint8, colours blue, green, red. OpenCV's
rules are followed, to a grey value or so; random numbers are drawn by numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.dialects.ssd.colours import from_hsv, rounded, to_hsv
from caffe.dialects.ssd.scaling import scaled
from caffe.errors import CheckError

Pixels = NDArray[np.uint8]
_PADS: dict[str, Any] = {
    "CONSTANT": "constant",
    "MIRRORED": "reflect",
    "REPEAT_NEAREST": "edge",
}


def fitted(height: int, width: int, options: Any) -> tuple[int, int]:
    """Height and width of a picture that is resized, without padding.

    Parameters
    ----------
    options : ResizeParameter
    """
    new_height, new_width = int(options.height), int(options.width)
    if new_height < 1 or new_width < 1:
        raise CheckError(
            f"resize_param has height {new_height} and width {new_width}: expected "
            "sizes above 0"
        )
    if options.resize_mode == options.WARP:
        return new_height, new_width
    aspect, wanted = np.float32(width / height), np.float32(new_width / new_height)
    by_width = aspect > wanted
    if options.resize_mode == options.FIT_SMALL_SIZE:
        by_width = aspect < wanted
    if by_width:
        return max(int(np.floor(new_width / aspect)), 1), new_width
    return new_height, max(int(np.floor(aspect * new_height)), 1)


def resized(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    """Bring a picture to the size of a ResizeParameter, by its mode."""
    height, width = fitted(picture.shape[0], picture.shape[1], options)
    modes = list(options.interp_mode) or [options.LINEAR]
    mode = modes[int(rng.integers(len(modes)))] if len(modes) > 1 else modes[0]
    picture = scaled(picture, height, width, options.Interp_mode.Name(mode))
    if options.resize_mode != options.FIT_LARGE_SIZE_AND_PAD:
        return picture
    spare = options.height - height, options.width - width
    before = [extent // 2 for extent in spare]
    pads = [(b, extent - b) for b, extent in zip(before, spare, strict=True)]
    kind = options.Pad_mode.Name(options.pad_mode)
    if kind != "CONSTANT":
        return np.pad(picture, [*pads, (0, 0)], _PADS[kind])
    values = list(options.pad_value) or [0]
    if len(values) not in (1, picture.shape[2]):
        raise CheckError(
            f"pad_value has {len(values)} values: expected 1 or {picture.shape[2]}, "
            "one for each channel"
        )
    channels = np.broadcast_to(np.array(values), picture.shape[2])
    padded = np.empty((options.height, options.width, picture.shape[2]), np.uint8)
    padded[...] = rounded(channels)
    padded[before[0] : before[0] + height, before[1] : before[1] + width] = picture
    return padded


def distorted(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast, saturation, hue and order of channels by chance.

    Parameters
    ----------
    options : DistortionParameter
    """
    if picture.shape[2] != 3:
        raise CheckError(
            f"distort_param needs 3 channels, the picture has {picture.shape[2]}"
        )
    contrast_first = rng.random() > 0.5
    picture = _brighter(picture, options, rng)
    if contrast_first:
        picture = _contrasted(picture, options, rng)
    if rng.random() < options.saturation_prob:
        lower, upper = _range(options, "saturation")
        factor = rng.uniform(lower, upper)
        picture = _in_hsv(picture, 1, lambda values: values * factor)
    if rng.random() < options.hue_prob:
        delta = rng.uniform(-options.hue_delta, options.hue_delta)
        picture = _in_hsv(picture, 0, lambda values: values + delta)
    if not contrast_first:
        picture = _contrasted(picture, options, rng)
    if rng.random() < options.random_order_prob:
        picture = picture[:, :, rng.permutation(3)]
    return picture


def expanded(
    picture: Pixels, ratio: float, fill: Any, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32]]:
    """Put a picture somewhere on a larger one.

    Parameters
    ----------
    ratio : float
        Of the sides of the larger one.
    fill : array
        What the larger one is made of: a value for each channel, or for each pixel.

    Returns
    -------
    larger : array
    window : (4,) array
        Its left, top, right and bottom, in parts of the picture.
    """
    height, width = picture.shape[:2]
    size = int(height * ratio), int(width * ratio)
    down = int(rng.uniform(0, size[0] - height))
    right = int(rng.uniform(0, size[1] - width))
    larger = np.empty((*size, picture.shape[2]), np.uint8)
    larger[...] = rounded(np.asarray(fill))
    larger[down : down + height, right : right + width] = picture
    corners = np.array([-right, -down, size[1] - right, size[0] - down])
    return larger, (corners / ([width, height] * 2)).astype(np.float32)


def _range(options: Any, name: str) -> tuple[float, float]:
    lower = float(getattr(options, f"{name}_lower"))
    upper = float(getattr(options, f"{name}_upper"))
    if not 0 <= lower <= upper:
        raise CheckError(
            f"{name}_lower is {lower:g}, {name}_upper {upper:g}: expected 0 or more, "
            "and no less"
        )
    return lower, upper


def _brighter(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    if rng.random() >= options.brightness_prob:
        return picture
    delta = rng.uniform(-options.brightness_delta, options.brightness_delta)
    return rounded(picture + np.float32(delta))


def _contrasted(picture: Pixels, options: Any, rng: np.random.Generator) -> Pixels:
    if rng.random() >= options.contrast_prob:
        return picture
    return rounded(picture * np.float32(rng.uniform(*_range(options, "contrast"))))


def _in_hsv(
    picture: Pixels,
    channel: int,
    change: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> Pixels:
    """Change one channel of hue, saturation and value."""
    hsv = to_hsv(picture)
    hsv[:, :, channel] = rounded(change(hsv[:, :, channel].astype(np.float32)))
    return from_hsv(hsv)
