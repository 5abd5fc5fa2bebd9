"""Comparing files of the engine with files of the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def tree(path: Any) -> dict[str, Any]:
    """Type, shape and values of everything in an HDF5 file, by name."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found[name] = ("group", dict(item.attrs))
            return
        kind = item.id.get_type()
        text = kind.get_class() == h5py.h5t.STRING
        detail = (kind.get_size(), kind.get_strpad()) if text else item.dtype.str
        layout = item.id.get_create_plist().get_layout()
        values = np.asarray(item[()]).tolist()
        found[name] = (detail, item.shape, layout, dict(item.attrs), values)

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def names(folder: Any) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())
