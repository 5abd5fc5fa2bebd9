"""Which range of grey values becomes 0..1, found without holding an image whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError

LOG = logging.getLogger(__name__)
BY_TYPE = (np.uint8, np.uint16)


@dataclass(frozen=True)
class UnitRange:
    """The grey values that become 0 and 1.

    Attributes
    ----------
    low, high : float
    """

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(
        cls, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]], *, name: str
    ) -> UnitRange:
        """Find it for images of a type; see `pyunet.data.images.to_unit_range`.

        Parameters
        ----------
        dtype : dtype
            Of the grey values.
        blocks : iterable of ndarray
            Parts of the images, which together are all of them. Not read where the
            type says enough.
        name : str
            What messages call them.

        Raises
        ------
        DataError
            NaN or infinite values; one value everywhere, in a type whose range says
            nothing.

        Examples
        --------
        >>> UnitRange.of(np.dtype(np.uint8), [], name="a").high
        255.0
        """
        if dtype.newbyteorder("=") in BY_TYPE:
            return cls(0.0, float(np.iinfo(dtype).max))
        low, high = np.inf, -np.inf
        for block in blocks:
            if not block.size:
                continue
            if not np.isfinite(block).all():
                raise DataError(f"{name}: has NaN or infinite grey values")
            low = min(low, float(block.min()))
            high = max(high, float(block.max()))
        if low > high or (dtype.kind == "f" and low >= 0 and high <= 1):
            return cls()
        if not 0 < high - low < np.inf:
            raise DataError(
                f"{name}: {dtype} values from {low:g} to {high:g}; expected uint8, "
                "uint16, floats 0..1, or different values, which are mapped to 0..1"
            )
        LOG.warning(
            "%s: %s values from %g to %g are mapped to 0..1; "
            "scale them yourself if files are to share one scale",
            name, dtype, low, high,
        )  # fmt: skip
        return cls(low, high)

    def apply(self, part: NDArray[Any]) -> NDArray[np.float32]:
        """Scale a part of the images.

        Examples
        --------
        >>> UnitRange(-2.0, 2.0).apply(np.array([-2.0, 0.0, 2.0])).tolist()
        [0.0, 0.5, 1.0]
        """
        if part.dtype.newbyteorder("=") in BY_TYPE:
            return part.astype(np.float32) / np.float32(self.high)
        if (self.low, self.high) == (0.0, 1.0) and part.dtype.kind == "f":
            return part.astype(np.float32)
        scaled = (part.astype(np.float64) - self.low) / (self.high - self.low)
        return scaled.astype(np.float32)
