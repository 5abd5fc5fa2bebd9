"""Write files so that an error leaves nothing half-written behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pyunet.errors import DataError

DISK = (OSError, RuntimeError)


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
    pending: dict[str, Path] = {}

    def place(name: str) -> Path:
        return pending.setdefault(name, folder / f".{name}.part")

    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield place
        for name, part in pending.items():
            part.replace(folder / name)
    except BaseException as error:
        for part in pending.values():
            with contextlib.suppress(OSError):
                part.unlink()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, DISK):
            raise DataError(f"{folder}: cannot be written: {_reason(error)}") from error
        raise


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)
