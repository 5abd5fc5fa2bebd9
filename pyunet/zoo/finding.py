"""Find a net by its name, its folder or its file, and who opens which kind of file.

pyunet opens a prototxt with its weights. Packages beside it open other files that
hold a net: each is a `ModelKind`, found by its entry point (group ``pyunet.models``).
"""

from __future__ import annotations

import functools
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from pyunet.errors import DataError

DEPLOY = "deploy.prototxt"
KINDS = "pyunet.models"  # group of entry points


class ModelKind(Protocol):
    """A kind of model file; the value of an entry point, usually a module.

    Attributes
    ----------
    ENDING : str
        Of its files' names, such as ``.modeldef.h5``.
    """

    ENDING: str

    def handles(self, path: Path) -> bool:
        """Tell whether a file is of this kind, by its name."""

    def open_model(self, path: Path, weights: Path, *, gpu: int | None) -> Any:
        """Load a file of this kind with its weights.

        Parameters
        ----------
        path : Path
        weights : Path
        gpu : int or None
            Number of the GPU to run on; None: the CPU.

        Returns
        -------
        pyunet.inference.trained.Trained

        Raises
        ------
        DataError
            Files that cannot be read, or do not fit each other.
        """


@functools.cache
def model_kinds() -> tuple[ModelKind, ...]:
    """Give the kinds of model files that installed packages open."""
    return tuple(entry.load() for entry in entry_points(group=KINDS))


def kind_of(path: str | Path) -> ModelKind | None:
    """Tell what kind of model a file is, by its name; None: a prototxt.

    >>> kind_of("cells.modeldef.h5").ENDING, kind_of("deploy.prototxt")
    ('.modeldef.h5', None)
    """
    return next((kind for kind in model_kinds() if kind.handles(Path(path))), None)


def ending_of(name: str) -> str:
    """Give the ending that tells a model file of any kind; empty: it is none.

    >>> ending_of("cells.modeldef.h5"), ending_of("cells.caffemodel.h5")
    ('.modeldef.h5', '')
    """
    endings = (kind.ENDING for kind in model_kinds())
    return next((ending for ending in endings if name.endswith(ending)), "")


def find_model(model: str | Path) -> Path:
    """Find the prototxt of a model, or its file of another kind if that is meant.

    Parameters
    ----------
    model : str or Path
        A prototxt file, a folder with ``deploy.prototxt``, or the name of a model
        that comes with the package (:func:`model_names`). A folder or file goes
        before a name. For the name of a file of another kind see :func:`find_file`.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    DataError
        Nothing found, or a folder without ``deploy.prototxt``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "deploy.prototxt")
    ...     path.touch()
    ...     find_model(folder) == path
    True
    """
    path = Path(model)
    if path.is_file():
        return path
    kind = kind_of(path)
    if kind is not None:
        return find_file(model, kind.ENDING)
    if path.is_dir():
        if (path / DEPLOY).is_file():
            return path / DEPLOY
        raise DataError(f"{path}: the folder has no {DEPLOY}")
    for folder in _folders():
        if len(path.parts) == 1 and (folder / path / DEPLOY).is_file():
            return folder / path / DEPLOY
    names = ", ".join(model_names()) or "none"
    raise DataError(
        f"{model}: no such file, folder or model; models that come with pyunet: {names}"
    )


def find_file(model: str | Path, ending: str) -> Path:
    """Find the file of a model whose name has an ending.

    Parameters
    ----------
    model : str or Path
        Such a file, a folder with one, or the name of a model that comes with the
        package, with that ending or without.
    ending : str

    Returns
    -------
    Path

    Raises
    ------
    DataError
        Nothing found, or a folder with none or several.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "cells.modeldef.h5")
    ...     path.touch()
    ...     find_file(folder, ".modeldef.h5") == path
    True
    """
    path = Path(model)
    if path.is_file():
        return path
    if path.is_dir():
        files = sorted(path.glob(f"*{ending}"))
        if len(files) == 1:
            return files[0]
        have = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one file *{ending}, got {have}")
    name = path.name.removesuffix(ending)
    for folder in _folders():
        inside = folder / name / f"{name}{ending}"
        if len(path.parts) == 1 and inside.is_file():
            return inside
    names = ", ".join(_names(f"*{ending}")) or "none"
    raise DataError(
        f"{model}: no such file, folder or model; models that come with pyunet and "
        f"have a {ending}: {names}"
    )


def model_names() -> list[str]:
    """Name the models that come with the package."""
    return _names(DEPLOY)


def _names(pattern: str) -> list[str]:
    """Name the folders of the package's models that have a file."""
    names = {path.parent.name for f in _folders() for path in f.glob(f"*/{pattern}")}
    return sorted(names)


def _folders() -> list[Path]:
    """Where models lie: inside an installed package, beside it in a clone."""
    package = Path(str(resources.files("pyunet")))
    return [package / "_prototxt", package.parent / "prototxt"]
