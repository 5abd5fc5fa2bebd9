"""Where files from outside come in: one error for whatever their readers raise.

Libraries tell a damaged file by any kind of exception, by warnings and in their logs.
`reading` makes one `DataError` of it that names the file; `check_held` and
`check_memory` refuse a size before memory is taken for it.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from caffe.errors import CaffeError
from pyunet.errors import DataError, OutOfMemoryError, PyunetError, one_line
from pyunet.memory import available_bytes, format_bytes

SMALL_BYTES = 2**26  # what is not worth asking the system for
MOST_PACKED = 2**15  # times that any compression in use makes a file smaller
REASON = 240  # characters of a library's text
MEANINGS: dict[type[BaseException], str] = {
    UnicodeDecodeError: "it is no text of UTF-8",
    RecursionError: "it is nested too deeply",
}
# what a library says of a file is in the error; its own lines would come beside it
for _name in ("tifffile", "PIL", "h5py", "nibabel"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


@contextlib.contextmanager
def reading(path: str | Path, wrong: str = "cannot be read") -> Iterator[None]:
    """Turn what goes wrong in a block that reads a file into one line.

    Parameters
    ----------
    path : str or Path
        The file, as the text names it.
    wrong : str, default "cannot be read"
        What is to be said of it, such as "is no TOML"; the library's reason follows.
        What the system refuses always cannot be read.

    Raises
    ------
    DataError
        Whatever the block raises, but for what this package and caffe raise
        themselves, which stays as it is.
    OutOfMemoryError
        In the place of a MemoryError.

    Examples
    --------
    >>> with reading("a.png"):
    ...     {}["IHDR"]
    Traceback (most recent call last):
    ...
    pyunet.errors.DataError: a.png: cannot be read: KeyError: 'IHDR'
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (PyunetError, CaffeError):
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"out of memory: {path}: {wrong}") from error
    except Exception as error:
        system = isinstance(error, OSError) and error.strerror
        said = "cannot be read" if system else wrong
        raise DataError(f"{path}: {said}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Say in a few words what an exception of the system or of a library says.

    Examples
    --------
    >>> reason(FileNotFoundError(2, "No such file or directory", "a.tif"))
    'No such file or directory'
    >>> reason(ModuleNotFoundError("No module named 'zstd'", name="zstd"))
    "it needs the package 'zstd', which is not installed"
    """
    text = one_line(" ".join(str(error).split()), REASON)
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror, REASON)
    for kind, meaning in MEANINGS.items():
        if isinstance(error, kind):
            return meaning
    if isinstance(error, ImportError) and error.name:
        return f"it needs the package '{error.name}', which is not installed"
    if isinstance(error, (OSError, ValueError, RuntimeError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def check_held(
    path: str | Path, claimed: int, stored: int, packed: int = MOST_PACKED
) -> None:
    """Refuse contents that a file says it has and that can't be in it.

    Parameters
    ----------
    path : str or Path
    claimed : int
        Bytes of memory that the contents would take.
    stored : int
        Bytes of the file.
    packed : int, default 32768
        How many times smaller its compression can make contents; 1: none.

    Raises
    ------
    DataError
        More than that. Up to 64 MiB everything is accepted.

    Examples
    --------
    >>> check_held("a.tif", 240 * 2**30, 5000)
    Traceback (most recent call last):
    ...
    pyunet.errors.DataError: a.tif: says that it holds 245760M, in a file of 5000 bytes
    """
    if claimed > max(SMALL_BYTES, stored * packed):
        raise DataError(
            f"{path}: says that it holds {format_bytes(claimed)}, in a file of "
            f"{stored} bytes"
        )


def check_memory(path: str | Path, wanted: int) -> None:
    """Refuse contents for which there is no memory, before it is taken.

    Parameters
    ----------
    path : str or Path
    wanted : int
        Bytes. Up to 64 MiB the system is not asked.

    Raises
    ------
    DataError
    """
    if wanted > SMALL_BYTES and wanted > (free := available_bytes()):
        raise DataError(
            f"{path}: holds {format_bytes(wanted)}; there is memory for "
            f"{format_bytes(free)}"
        )
