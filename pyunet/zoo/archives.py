"""Take single files out of zip and tar archives from outside.

Only contents are taken, never an archive's paths, links, rights or owners.
"""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from pyunet.boundary import check_held, reading
from pyunet.errors import DataError
from pyunet.files import atomic_path

LARGEST = 4 * 2**30
Members = dict[str, tuple[int, Callable[[], "IO[bytes]"]]]


def member_names(archive: Path) -> list[str]:
    """Name the files of an archive; links and folders are none.

    Raises
    ------
    DataError
        No archive, a damaged one, one with a path that leaves it.
    """
    with _opened(archive) as members:
        return list(members)


def take_out(archive: Path, wanted: Mapping[str, Path]) -> None:
    """Take files out of an archive.

    Parameters
    ----------
    archive : Path
        A zip file, or a tar file, compressed or not.
    wanted : mapping of str to Path
        A file's name, with as many of the folders above it as it needs to be clear,
        -> the file that it becomes.

    Raises
    ------
    DataError
        As `member_names`; a name that none or several have, a file larger than 4 GiB.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     archive = Path(folder, "a.zip")
    ...     with zipfile.ZipFile(archive, "w") as file:
    ...         file.writestr("release/net.caffemodel", "weights")
    ...     take_out(archive, {"net.caffemodel": Path(folder, "net")})
    ...     Path(folder, "net").read_text()
    'weights'
    """
    with _opened(archive) as members:
        for name, target in wanted.items():
            size, reading = members[_only(name, members, archive)]
            if size > LARGEST:
                raise DataError(f"{archive}: '{name}' has {size} bytes, no weights")
            with reading() as source, atomic_path(target) as path, path.open("wb") as f:
                shutil.copyfileobj(source, f)


def _only(name: str, members: Members, archive: Path) -> str:
    """Find the one member that a name means."""
    wanted = PurePosixPath(name).parts
    found = [m for m in members if PurePosixPath(m).parts[-len(wanted) :] == wanted]
    if len(found) != 1:
        raise DataError(
            f"{archive}: has {len(found) or 'no'} files '{name}'; one is wanted"
        )
    return found[0]


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Members]:
    """Open an archive: name -> size, and a way to read it."""
    with reading(archive, "is no archive that can be read"):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield _zip_members(file, archive)
        else:
            with tarfile.open(archive, "r:*") as tar:
                yield _tar_members(tar, archive)


def _zip_members(file: zipfile.ZipFile, archive: Path) -> Members:
    found: Members = {}
    for info in file.infolist():
        _check_inside(info.filename, archive)
        link = info.external_attr >> 28 == 0o12  # as unix stores the kind of a file
        if not info.is_dir() and not link:
            found[info.filename] = (
                info.file_size,
                lambda info=info: file.open(info),  # type: ignore[misc]
            )
    return found


def _tar_members(tar: tarfile.TarFile, archive: Path) -> Members:
    found: Members = {}
    stored, total = archive.stat().st_size, 0
    for info in tar:
        _check_inside(info.name, archive)
        total += info.size
        check_held(archive, total, stored)  # or the next one is looked for without end
        if info.isfile():
            found[info.name] = (
                info.size,
                lambda info=info: tar.extractfile(info),  # type: ignore[misc, assignment]
            )
    return found


def _check_inside(name: str, archive: Path) -> None:
    """Refuse names that would leave a folder on some system."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise DataError(
                f"{archive}: has a file {name!r}, which would be written outside of "
                "its folder: nothing was unpacked"
            )
