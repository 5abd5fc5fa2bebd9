"""What a person sees of a training: a bar at the terminal, and a log in a folder."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from caffe.cli import describe
from caffe.errors import CheckError, FileError
from caffe.glog import Write, line, logs, passed_through

if TYPE_CHECKING:
    from caffe.engine.solvers import SGDSolver

LOG = "train.log"


@contextlib.contextmanager
def kept_log(folder: Path, *, resumed: bool) -> Iterator[None]:
    """Write the lines of the log into a file, too, inside a ``with`` block.

    Parameters
    ----------
    folder : Path
        Is made; the file is ``train.log`` in it.
    resumed : bool
        Whether the lines go on with those of a log that is there.

    Raises
    ------
    CheckError
        If there is one and the training is another.
    FileError
        If it can't be written.
    """
    path = folder / LOG
    if path.exists() and not resumed:
        raise CheckError(
            f"-log {folder}: holds the log of another training; expected a new "
            "folder, or -snapshot to continue that one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}") from error

    kept = _Kept(path, file)
    with contextlib.closing(kept), passed_through(kept.both):
        try:
            yield
        except Exception as error:
            kept.keep(line("caffe.cpp:446", f"caffe train: {describe(error)}", "F"))
            raise


class _Kept:
    """A copy of the log in a file, without which training continues if it fails."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._write: Write = file.write
        self._broken = False

    def both(self, write: Write) -> Write:
        self._write = write

        def through(text: str) -> None:
            write(text)
            self.keep(text)

        return through

    def keep(self, text: str) -> None:
        if self._broken:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:  # a full disk: the terminal still has all
            self._broken = True
            what = f"{self._path}: cannot be written: {error.strerror}"
            told = line("caffe.cpp:447", f"{what}: training continues without it", "W")
            self._write(told)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written before
            self._file.close()


@contextlib.contextmanager
def bar(solver: SGDSolver) -> Iterator[None]:
    """Show a person at a terminal how far a training is, and when it will end.

    The lines of the log go above the bar. Where they are muted there is none.
    """
    if not sys.stderr.isatty() or not logs("I"):
        yield
        return
    from tqdm import tqdm

    from caffe.engine.solvers.report import Watcher

    class Bar(Watcher):
        def updated(self, iteration: int, loss: float) -> None:
            shown.set_postfix(loss=f"{loss:.4g}", refresh=False)
            shown.update(iteration - shown.n)

    def above(write: Write) -> Write:
        def through(text: str) -> None:
            with tqdm.external_write_mode(file=sys.stderr):
                write(text)

        return through

    with (
        tqdm(
            desc="train",
            total=solver.max_iter,
            initial=solver.iter,
            file=sys.stderr,
            dynamic_ncols=True,
        ) as shown,
        passed_through(above),
    ):
        solver.watchers.append(Bar())
        yield
