"""Pictures of bright and dark squares, with a file of boxes each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe.engine.sources import images

SIDE = 48


def write_squares(folder: Path, count: int, seed: int) -> None:
    """Write ``list.txt`` and pictures with text files of boxes into a folder.

    Class 1 is bright, class 2 dark; each picture has one or two squares, which do not
    touch.
    """
    random = np.random.default_rng(seed)
    folder.mkdir()
    lines = []
    for i in range(count):
        picture = random.integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8)
        boxes = []
        for half in range(int(random.integers(1, 3))):
            side = int(random.integers(11, 20))
            label = int(random.integers(1, 3))
            left = 24 * half + int(random.integers(0, 24 - side + 1))
            top = int(random.integers(0, SIDE - side + 1))
            value = 230 if label == 1 else 20
            picture[top : top + side, left : left + side] = value
            boxes.append(f"{label} {left} {top} {left + side} {top + side}")
        (folder / f"{i}.png").write_bytes(images.encode(picture, "png"))
        (folder / f"{i}.txt").write_text("\n".join(boxes))
        lines.append(f"{i}.png {i}.txt")
    (folder / "list.txt").write_text("\n".join(lines))
