"""Find a net by its name, its folder or its file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pyunet.errors import DataError

DEPLOY = "deploy.prototxt"
DEFINITION = ".modeldef.h5"


def find_model(model: str | Path) -> Path:
    """Find the deploy prototxt of a model, or its definition if that is meant.

    Parameters
    ----------
    model : str or Path
        A prototxt file, a folder with ``deploy.prototxt``, or the name of a model
        that comes with the package (:func:`model_names`). A folder or file goes
        before a name. What ends in ``.modeldef.h5`` is a model definition, see
        :func:`find_definition`.

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
    if is_definition(path):
        return find_definition(model)
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


def find_definition(model: str | Path) -> Path:
    """Find the definition of a model.

    Parameters
    ----------
    model : str or Path
        A ``.modeldef.h5`` file, a folder with one, or the name of a model that comes
        with the package, with that ending or without.

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
    ...     find_definition(folder) == path
    True
    """
    path = Path(model)
    if path.is_file():
        return path
    if path.is_dir():
        definitions = sorted(path.glob(f"*{DEFINITION}"))
        if len(definitions) == 1:
            return definitions[0]
        have = ", ".join(definition.name for definition in definitions) or "none"
        raise DataError(f"{path}: expected one file *{DEFINITION}, got {have}")
    name = path.name.removesuffix(DEFINITION)
    for folder in _folders():
        inside = folder / name / f"{name}{DEFINITION}"
        if len(path.parts) == 1 and inside.is_file():
            return inside
    names = ", ".join(_names(f"*{DEFINITION}")) or "none"
    raise DataError(
        f"{model}: no such file, folder or model; models that come with pyunet and "
        f"have a {DEFINITION}: {names}"
    )


def is_definition(path: str | Path) -> bool:
    """Tell a model definition from a prototxt, by the name.

    >>> is_definition("cells.modeldef.h5"), is_definition("deploy.prototxt")
    (True, False)
    """
    return Path(path).suffix.lower() == ".h5"


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
