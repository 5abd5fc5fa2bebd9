"""Stored answers of other programs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_arrays(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file, and close it."""
    with np.load(path) as file:
        return dict(file)
