"""Boxes in pixels of the images that a file lists, before these were resized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.errors import CheckError
from caffe.proto.text import read_bytes


def read_sizes(path: str) -> list[tuple[str, int, int]]:
    """Read a ``name_size_file``: name, height and width of an image a line.

    Raises
    ------
    CheckError
        A line is something else.
    """
    found = []
    for number, line in enumerate(read_bytes(path).decode().splitlines(), 1):
        words = line.rsplit(maxsplit=2)
        if len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
            raise CheckError(
                f"{path}: line {number} is {line!r}: expected name, height and width"
            )
        found.append((words[0], int(words[1]), int(words[2])))
    return found


def to_pixels(
    boxes: torch.Tensor, height: int, width: int, resize: Any = None
) -> torch.Tensor:
    """Scale (n, 4) boxes to the size of an image, and cut them to it.

    Parameters
    ----------
    resize : ResizeParameter, optional
        How the image was brought to the size that the boxes are parts of.
    """
    sizes = [width, height]
    if resize is not None:
        if resize.resize_mode == resize.FIT_LARGE_SIZE_AND_PAD:
            start, part = map(boxes.new_tensor, inside(width / height, resize))
            boxes = (boxes - start) / part
        scaled = resize.height_scale and resize.width_scale
        if resize.resize_mode == resize.FIT_SMALL_SIZE and scaled:
            boxes = boxes * boxes.new_tensor(
                [resize.width_scale, resize.height_scale] * 2
            )
            return torch.minimum(boxes.clamp(min=0), boxes.new_tensor(sizes * 2))
    return boxes.clamp(0, 1) * boxes.new_tensor(sizes * 2)


def inside(aspect: float, resize: Any) -> tuple[list[float], list[float]]:
    """Start and size of an image inside the padded one, in parts of this.

    Both along (x, y, x, y).
    """
    whole: Sequence[float] = (resize.width, resize.height)
    axis = 1 if aspect > whole[0] / whole[1] else 0
    taken = whole[0] / aspect if axis else whole[1] * aspect
    start, part = [0.0, 0.0], [1.0, 1.0]
    part[axis] = taken / whole[axis]
    start[axis] = (1 - part[axis]) / 2
    return start * 2, part * 2
