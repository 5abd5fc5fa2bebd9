"""Snapshots of the plugin: a job over SSH that it can't resume by itself.

The plugin writes the other computer's settings under ``HostConfiguration`` and looks
for them under ``Hostconfiguration``. With a copy under the second name the file is
read, and the training goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pyunet.errors import DataError
from pyunet.files import atomic_path

WRITTEN, READ = "HostConfiguration", "Hostconfiguration"


def mend(path: Path) -> bool:
    """Copy the settings to the name that the plugin looks for.

    Parameters
    ----------
    path : Path
        The snapshot; replaced whole, or left as it is.

    Returns
    -------
    bool
        False if the file had them under both names already.

    Raises
    ------
    DataError
        No HDF5 file, or one without the settings, as those of local jobs are.
    """
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a snapshot of the plugin")
    with atomic_path(path) as copy:
        shutil.copyfile(path, copy)
        try:
            with h5py.File(copy, "r+") as file:
                return _copy_settings(file, path)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{path} can't be read as HDF5; expected a snapshot of the plugin"
            ) from error


def _copy_settings(file: Any, path: Path) -> bool:
    """Copy an attribute of the root, or an object with what it holds."""
    mended = False
    present = False
    if WRITTEN in file.attrs:
        present = True
        if READ not in file.attrs:
            file.attrs[READ] = file.attrs[WRITTEN]
            mended = True
    if WRITTEN in file:
        present = True
        if READ not in file:
            file.copy(WRITTEN, READ)
            mended = True
    if not present:
        raise DataError(
            f"{path} has no {WRITTEN}: expected the snapshot of a job over SSH; those "
            "of local jobs need no mending"
        )
    return mended
