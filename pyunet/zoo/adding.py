"""Take a user's own model into the list of trained models."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from pyunet.errors import DataError
from pyunet.files import atomic_path, new_files
from pyunet.toml import from_table
from pyunet.zoo.cache import cache_folder, held, sha256_of
from pyunet.zoo.finding import kind_of
from pyunet.zoo.half import half_precision
from pyunet.zoo.manifest import (
    MANIFEST,
    Entry,
    entries,
    read_manifest,
    user_manifest,
)  # fmt: skip

ENDINGS = (".caffemodel.h5", ".caffemodel")


def add_model(
    name: str,
    weights: Path,
    model: Path,
    table: Mapping[str, Any],
    *,
    half: bool = False,
) -> Entry:
    """Copy a model to the cache folder and make it known by a name.

    Parameters
    ----------
    name : str
    weights : Path
        ``.caffemodel`` or ``.caffemodel.h5``.
    model : Path
        Its deploy prototxt, or a model file of another kind.
    table : mapping
        What else is known, with the keys of `Entry`; ``what`` is required.
    half : bool, default False
        Store the weights by `half_precision`.

    Returns
    -------
    Entry

    Raises
    ------
    DataError
        A name that is taken, weights of another ending, a key that no model has; what
        `half_precision` refuses. Nothing is written then.
    """
    ending = next((end for end in ENDINGS if weights.name.endswith(end)), None)
    if ending is None:
        raise DataError(f"{weights}: expected {' or '.join(ENDINGS)}")
    other = kind_of(model)
    kind = "definition" if other else "prototxt"
    stored = f"{name}{ENDINGS[0] if half else ending}"
    net = f"{name}{other.ENDING if other else '.prototxt'}"
    given = {
        "licence": "the user's own",
        **table,
        "file": f"{name}/{stored}",
        kind: f"{name}/{net}",
    }
    with held(MANIFEST):
        _check(name, given)
        folder = cache_folder() / name
        with new_files(folder) as place:
            if half:
                half_precision(weights, place(stored))
            else:
                _copy(weights, place(stored))
            _copy(model, place(net))
            given["sha256"] = sha256_of(place(stored))
            given["size"] = place(stored).stat().st_size
        try:
            return _append(name, given)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def register(name: str, table: Mapping[str, Any]) -> Entry:
    """Write a model into the user's list.

    Raises
    ------
    DataError
        A name that is taken, a key that no model has.
    """
    with held(MANIFEST):
        _check(name, table)
        return _append(name, table)


def _check(name: str, table: Mapping[str, Any]) -> None:
    """Refuse an invalid model before anything is written."""
    plain = name.isprintable() and Path(name).name == name
    if not name or not plain or name.startswith("."):
        raise DataError(f"name {name!r}: expected a name without folders")
    if name in entries():
        raise DataError(
            f"{name}: there is a model of this name; take another (the list of yours "
            f"is {user_manifest()})"
        )
    from_table(Entry, {"name": name, **table}, name)


def _append(name: str, table: Mapping[str, Any]) -> Entry:
    path = user_manifest()
    before = f"{path.read_text(encoding='utf-8')}\n" if path.is_file() else ""
    try:
        text = before.encode() + tomli_w.dumps({name: table}).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: {error.object!r} cannot be stored") from error
    with atomic_path(path) as draft:
        draft.write_bytes(text)
    return read_manifest(path)[name]


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise DataError(f"{source}: cannot be copied: {error.strerror}") from error
