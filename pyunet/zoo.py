"""Find a model by its name or its folder."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pyunet.errors import DataError

DEPLOY = "deploy.prototxt"


def find_model(model: str | Path) -> Path:
    """Find the deploy prototxt of a model.

    Parameters
    ----------
    model : str or Path
        A prototxt file, a folder with ``deploy.prototxt``, or the name of a model
        that comes with the package (:func:`model_names`). A folder or file goes
        before a name.

    Returns
    -------
    Path
        Of the prototxt file.

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
    if path.is_dir():
        if (path / DEPLOY).is_file():
            return path / DEPLOY
        raise DataError(f"{path}: the folder has no {DEPLOY}")
    for folder in _folders():
        if len(path.parts) == 1 and (folder / path / DEPLOY).is_file():
            return folder / path / DEPLOY
    known = ", ".join(model_names()) or "none"
    raise DataError(
        f"{model}: no such file, folder or model; models that come with pyunet: {known}"
    )


def model_names() -> list[str]:
    """Name the models that come with the package."""
    found = {path.parent.name for f in _folders() for path in f.glob(f"*/{DEPLOY}")}
    return sorted(found)


def _folders() -> list[Path]:
    """Where models lie: inside an installed package, beside it in a clone."""
    package = Path(str(resources.files("pyunet")))
    return [package / "_prototxt", package.parent / "prototxt"]
