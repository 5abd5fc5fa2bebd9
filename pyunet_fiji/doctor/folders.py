"""The process folder and the temporary folder: room, and files that can be written."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from pyunet_fiji.doctor.findings import Finding, ok, problem, warning

GIB = 2**30
TOO_FULL_BYTES = GIB
NEARLY_FULL_BYTES = 5 * GIB


def check(folder: Path) -> Iterator[Finding]:
    """Check the process folder and the folder for temporary files.

    Parameters
    ----------
    folder : Path
        As given in the plugin's dialog.
    """
    yield from _process_folder(folder)
    temporary = Path(tempfile.gettempdir())
    reason = _refusal(temporary)
    if reason:
        yield problem(
            f"temporary folder {temporary}: {reason}", "export TMPDIR=ANOTHER_FOLDER"
        )
    else:
        yield _room(temporary, "temporary folder", "export TMPDIR=ANOTHER_FOLDER")


def _process_folder(folder: Path) -> Iterator[Finding]:
    quoted = shlex.quote(str(folder))
    if not folder.is_dir():
        yield problem(f"process folder {folder}: there is none", f"mkdir -p {quoted}")
        return
    reason = _refusal(folder)
    if reason:
        yield problem(
            f"process folder {folder}: {reason}", f"sudo chown $(id -un) {quoted}"
        )
        return
    if len(str(folder.resolve()).split()) > 1:
        yield problem(
            f"process folder {folder.resolve()}: its path has a blank; lists of "
            "training files and commands over SSH are split there",
            "choose a folder without blanks in the plugin's dialog",
        )
    yield _room(
        folder, "process folder", "choose a folder on another disk in the dialog"
    )
    yield _locking(folder)


def _refusal(folder: Path) -> str:
    """Write, rename and remove a file; return why that does not work, or nothing."""
    file = folder / f"unet-doctor-{uuid.uuid4()}.tmp"
    renamed = file.with_suffix(".moved")
    try:
        file.write_bytes(b"x")
        file.rename(renamed)
        renamed.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.unlink()
        return f"cannot be written: {error.strerror or error}"
    return ""


def _room(folder: Path, name: str, mend: str) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{name} {folder}: {free / GIB:.1f} GiB free"
    if free < TOO_FULL_BYTES:
        return problem(f"{text}, too little for a finetuning's snapshots", mend)
    if free < NEARLY_FULL_BYTES:
        return warning(f"{text}, little for several jobs", mend)
    return ok(f"{text}, can be written")


def _locking(folder: Path) -> Finding:
    """Write an HDF5 file and open it again, as each job does."""
    import h5py

    file = folder / f"unet-doctor-{uuid.uuid4()}.h5"
    try:
        with h5py.File(file, "w") as opened:
            opened["data"] = [1.0]
        with h5py.File(file, "r") as opened:
            opened["data"][:]
    except OSError as error:
        if os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() == "FALSE":
            return problem(f"process folder {folder}: HDF5 files fail there: {error}")
        return problem(
            f"process folder {folder}: HDF5 files fail there, as on some network "
            f"drives: {error}",
            "export HDF5_USE_FILE_LOCKING=FALSE",
        )
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
    return ok("HDF5 files can be written and locked there")
