"""Where the engine's own converters are asked for."""

from __future__ import annotations

from typing import Any

from pyunet.errors import DataError
from pyunet.inference.engine import import_caffe


def converters() -> Any:
    """Give ``caffe.export``, which BVLC's pycaffe does not have.

    Raises
    ------
    DataError
        The caffe in use is another one than ours.

    Examples
    --------
    >>> converters().__name__
    'caffe.export'
    """
    caffe = import_caffe()
    found = getattr(caffe, "export", None)
    if found is None:
        place = getattr(caffe, "__file__", "elsewhere")
        raise DataError(
            f"the caffe of {place} has no converters: expected the one that comes "
            "with pyunet"
        )
    return found
