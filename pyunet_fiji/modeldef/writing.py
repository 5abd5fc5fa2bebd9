"""Write datasets in the types that ``caffe_unet`` and the Fiji plugin read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pyunet.errors import DataError
from pyunet.files import atomic_path, new_hdf5


def write_datasets(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write an HDF5 file whole, or not at all.

    Parameters
    ----------
    path : str or Path
        Its folder must exist.
    values : mapping of str to (str, int, float, a tuple of them, or numpy.generic)
        Dataset paths and what they hold. Texts get a fixed length, whole numbers 32
        bits, fractions 64; tuples one axis a level. What numpy made keeps its type.

    Raises
    ------
    DataError
        A text with NUL, a number beyond 32 bits; a place that cannot be written.
    """
    with atomic_path(Path(path)) as temporary, new_hdf5(temporary) as file:
        for name, value in values.items():
            try:
                file.create_dataset(name, **_stored(value))
            except (ValueError, OverflowError, TypeError, OSError) as error:
                raise DataError(f"{path}: {name}: cannot be stored: {error}") from error


def _stored(value: Any) -> dict[str, Any]:
    """Give data and dtype of one dataset."""
    first = value
    while isinstance(first, tuple):
        first = first[0]
    if isinstance(first, str):
        return _texts(value)
    if isinstance(first, np.generic):
        return {"data": value}
    kind = np.int32 if isinstance(first, int) else np.float64
    return {"data": np.array(value, dtype=kind)}


def _texts(value: str | tuple[str, ...]) -> dict[str, Any]:
    """Store texts as long as their UTF-8 bytes, marked ASCII where they are."""
    texts = (value,) if isinstance(value, str) else value
    if any("\0" in text for text in texts):
        raise ValueError("a text holds NUL, which would end it")
    encoded = [text.encode() for text in texts]
    length = max(1, *map(len, encoded)) if encoded else 1
    charset = "ascii" if all(text.isascii() for text in texts) else "utf-8"
    kind = h5py.string_dtype(charset, length)
    data = np.array(encoded, dtype=kind)
    return {"data": data.reshape(()) if isinstance(value, str) else data, "dtype": kind}
