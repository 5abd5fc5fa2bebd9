"""Take a user's own model into the list of trained models."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.toml import to_text
from pyunet.zoo.cache import cache_folder, sha256_of
from pyunet.zoo.finding import DEFINITION, is_definition
from pyunet.zoo.half import half_precision
from pyunet.zoo.manifest import Entry, entries, read_manifest, user_manifest

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
        Its deploy prototxt or ``.modeldef.h5``.
    table : mapping
        What else is known, with the keys of `Entry`; ``what`` is wanted.
    half : bool, default False
        Store the weights by `half_precision`.

    Returns
    -------
    Entry

    Raises
    ------
    DataError
        A name that is taken, weights of another ending, a key that no model has; what
        `half_precision` refuses.
    """
    _check_name(name)
    ending = next((end for end in ENDINGS if weights.name.endswith(end)), None)
    if ending is None:
        raise DataError(f"{weights}: accepted are {' and '.join(ENDINGS)}")
    folder = cache_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / f"{name}{ENDINGS[0] if half else ending}"
    if half:
        half_precision(weights, stored)
    else:
        _copy(weights, stored)
    kind = "definition" if is_definition(model) else "prototxt"
    net = folder / f"{name}{DEFINITION if kind == 'definition' else '.prototxt'}"
    _copy(model, net)
    given = {
        "licence": "the user's own",
        **table,
        "file": f"{name}/{stored.name}",
        kind: f"{name}/{net.name}",
        "sha256": sha256_of(stored),
        "size": stored.stat().st_size,
    }
    return register(name, given)


def register(name: str, table: Mapping[str, Any]) -> Entry:
    """Write a model into the user's list.

    Raises
    ------
    DataError
        A name that is taken, a key that no model has.
    """
    _check_name(name)
    path = user_manifest()
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    with atomic_path(path) as whole:
        joint = "\n" if before else ""
        whole.write_text(before + joint + to_text(name, table), encoding="utf-8")
        made = read_manifest(whole)
    return made[name]


def _check_name(name: str) -> None:
    if not name or Path(name).name != name or name.startswith("."):
        raise DataError(f"name {name!r}: accepted is one without folders")
    if name in entries():
        raise DataError(
            f"{name}: there is a model of this name; take another (the list of yours "
            f"is {user_manifest()})"
        )


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as path:
        shutil.copyfile(source, path)
