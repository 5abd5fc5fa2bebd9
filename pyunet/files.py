"""Write files that are either whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from caffe import Draft
from pyunet.errors import DataError

if TYPE_CHECKING:
    import h5py

DISK = (OSError, RuntimeError)


def followed(path: str | Path) -> Path:
    """Give the absolute path of a file, its links followed; a loop of them stays.

    ``Path.resolve`` raises a RuntimeError there, before Python 3.13.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "a").symlink_to("a")
    ...     followed(Path(folder, "a")).name
    'a'
    """
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that becomes a file when the block ends without error.

    Parameters
    ----------
    path : Path
        The file's own path; its folder must exist. Links, devices and pipes stay, see
        `caffe.Draft`.

    Yields
    ------
    Path

    Raises
    ------
    DataError
        The system does not let it be written; the text says why.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "a")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a']
    """
    try:
        with Draft(path) as draft:
            yield draft.path
            draft.keep()
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {_reason(error)}") from error


@contextlib.contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an empty HDF5 file, and write it when the block ends without error.

    Until then it is in memory: on a full disk the HDF5 library crashes as it exits.
    """
    import h5py  # slow to import

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        yield file
    with memory.getbuffer() as view, path.open("wb") as written:
        written.write(view)


@contextlib.contextmanager
def new_files(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Write files of a folder all together, or none.

    Gives a function from a file's name to the path to write it under, beside its
    place. When the block ends well all files are moved to their places, in the order
    of their first mention; on an error they are deleted, and the folder, too, if
    it was made here.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Raises
    ------
    DataError
        A folder that cannot be made, a file that cannot be written (a full disk).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     out = Path(parent) / "new"
    ...     with new_files(out) as place:
    ...         _ = place("a.txt").write_text("a")
    ...     [file.name for file in out.iterdir()]
    ['a.txt']
    """
    pending: dict[str, Draft] = {}

    def place(name: str) -> Path:
        if name not in pending:
            pending[name] = Draft(folder / name)
        written: Path = pending[name].path
        return written

    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield place
        for draft in pending.values():
            draft.keep()
    except BaseException as error:
        for draft in pending.values():
            draft.drop()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, DISK):
            raise DataError(f"{folder}: cannot be written: {_reason(error)}") from error
        raise


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)
