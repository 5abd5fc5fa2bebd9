"""The mean of the last losses, as Caffe displays it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class SmoothedLoss:
    """Running mean over the last `width` losses, in float32 and in Caffe's order.

    Examples
    --------
    >>> smoothed = SmoothedLoss(2)
    >>> [smoothed.add(loss) for loss in (4, 2, 1)]
    [4.0, 3.0, 1.5]
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._losses: list[np.float32] = []
        self._added = 0
        self._value = np.float32(0)

    def add(self, loss: float) -> float:
        """Take one more loss; the mean with it."""
        new = np.float32(loss)
        with np.errstate(all="ignore"):
            if len(self._losses) < self._width:
                self._losses.append(new)
                size = np.float32(len(self._losses))
                self._value = (self._value * (size - 1) + new) / size
            else:
                index = self._added % self._width
                change = (new - self._losses[index]) / np.float32(self._width)
                self._value += change
                self._losses[index] = new
        self._added += 1
        return float(self._value)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` takes back."""
        return {
            "losses": np.array(self._losses, np.float32),
            "added": np.array(self._added),
            "value": np.array(self._value),
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on where `state` was taken; a window of another width starts anew."""
        losses = list(state["losses"].astype(np.float32))
        added = int(state["added"])
        if len(losses) == min(added, self._width):
            self._losses, self._added = losses, added
            self._value = np.float32(state["value"])
