"""Detections in OpenCV's order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_IMAGE, _LABEL, _SCORE = range(3)


def by_score(
    detections: NDArray[np.float32], images: int, most: int
) -> NDArray[np.float32]:
    """Sort rows of DetectionOutput by image and falling score, and fill up with zeros.

    Parameters
    ----------
    detections : array of shape (1, 1, D, 7)
        By image, label and falling score, as the layer gives them; label -1: none.
    images : int
    most : int
        Detections an image for which there is room, 0 or more; -1: as many as found.

    Returns
    -------
    array of shape (1, 1, images * most, 7)
    """
    rows = detections.reshape(-1, detections.shape[-1])
    rows = rows[rows[:, _LABEL] >= 0]
    rows = rows[np.lexsort((-rows[:, _SCORE], rows[:, _IMAGE]))]
    # programs read the first row without asking whether there is one
    room = images * most if most >= 0 else max(len(rows), 1)
    found = np.zeros((1, 1, room, detections.shape[-1]), np.float32)
    found[0, 0, : len(rows)] = rows
    return found
