"""Bring the files of a trained model: download once, check, unpack, rename layers."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.notes import read_notes
from pyunet.zoo import archives
from pyunet.zoo.adding import register
from pyunet.zoo.cache import held, sha256_of
from pyunet.zoo.download import download
from pyunet.zoo.finding import ending_of, find_model, model_kinds
from pyunet.zoo.manifest import FETCHED, Entry, entries, state
from pyunet.zoo.renaming import rename_layers

LOG = logging.getLogger(__name__)
ASIDE = ".unpacked"
PIN = "download.sha256"
WEIGHTS = ".caffemodel.h5"


@dataclass(frozen=True)
class Files:
    """What a trained model is made of.

    Attributes
    ----------
    model : Path
        A prototxt, or a model file of another kind.
    weights : Path
    """

    model: Path
    weights: Path


def files_of(entry: Entry) -> Files:
    """Give the files of a model that is here.

    Raises
    ------
    DataError
        It is not; the text says which command downloads it.
    """
    if entry.collection:
        raise DataError(
            f"{entry.name}: is an archive of several models; 'pyunet zoo fetch "
            f"{entry.name}' unpacks them, 'pyunet zoo list' then names them"
        )
    status = state(entry)
    if status == "to fetch":
        raise DataError(
            f"{entry.name}: is not here yet; "
            f"'pyunet zoo fetch {entry.name}' downloads it"
        )
    if status == "missing":
        raise DataError(
            f"{entry.name}: its file {entry.weights_path} is not there; this copy of "
            "the project has no weights for it"
        )
    return Files(entry.definition_path or _net(entry), entry.weights_path)


def _net(entry: Entry) -> Path:
    beside = entry.folder / entry.prototxt
    return beside if beside.is_file() else find_model(entry.prototxt)


def fetch(entry: Entry) -> Files:
    """Bring a model if it is not here.

    Where the list knows no checksum, the first download's is kept and every later one
    has to be the same; one line in the log says so.

    Parameters
    ----------
    entry : Entry

    Returns
    -------
    Files

    Raises
    ------
    DataError
        What `download` and `take_out` refuse, of the last address tried; what is no
        file of weights.
    """
    if state(entry) == "to fetch":
        bring(entry, again=False)
    return files_of(entry)


def bring(entry: Entry, *, again: bool = True) -> list[Path]:
    """Download a model or a collection, for one process at a time.

    Parameters
    ----------
    entry : Entry
    again : bool, default True
        Also where it is here, or has come while another process was waited for.

    Returns
    -------
    list of Path
        Its files.

    Raises
    ------
    DataError
        As `fetch`.
    """
    with held(entry.name):
        if not again and state(entry) == "here":
            return [entry.cache / name for name in _record(entry)["files"]]
        return _bring(entry)


def _bring(entry: Entry) -> list[Path]:
    """Make everything ready aside; then put it in its place, and say so last."""
    pin, aside = entry.cache / PIN, entry.cache / ASIDE
    pinned = pin.read_text(errors="replace").strip() if pin.is_file() else ""
    source, whole = _download(entry, entry.sha256 or pinned)
    got = sha256_of(whole)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        fresh = _unpack(entry, whole, aside)
        for path in fresh:
            _check_weights(path, trusted=bool(entry.sha256 or pinned))
        if entry.rename:
            rename_layers(aside / entry.weights_path.name, entry.rename)
        if not entry.sha256 and not pinned:
            _pin(entry, source, got)
        files = {path.name: sha256_of(path) for path in fresh}
        found = _put(entry, fresh)
    except DataError as error:
        raise DataError(f"{entry.name}: {error}") from error
    finally:
        whole.unlink(missing_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
    # without it none of the files counts; after it nobody would look for leftovers
    with atomic_path(entry.cache / FETCHED) as path:
        path.write_text(
            json.dumps({"url": source, "sha256": got, "files": files}, indent=1)
        )
    return found


def _pin(entry: Entry, source: str, got: str) -> None:
    with atomic_path(entry.cache / PIN) as path:
        path.write_text(got)
    LOG.warning(
        "%s: no checksum is known for %s; pinned on this first use to sha256 %s",
        entry.name, source, got,
    )  # fmt: skip


def _put(entry: Entry, fresh: list[Path]) -> list[Path]:
    """Move files to their places, where they do not count yet."""
    (entry.cache / FETCHED).unlink(missing_ok=True)
    placed = [path.replace(entry.cache / path.name) for path in fresh]
    if entry.collection:
        _take_in(entry, placed)
    return placed


def _download(entry: Entry, sha256: str) -> tuple[str, Path]:
    """Try the addresses one after the other."""
    target = entry.cache / "download"
    for url in entry.urls:
        try:
            return url, download(url, target, sha256=sha256)
        except DataError as error:
            if url == entry.urls[-1]:
                raise DataError(f"{entry.name}: {error}") from error
            LOG.warning("%s: %s; trying the next address", entry.name, error)
    raise DataError(f"{entry.name}: no address is known")


def _unpack(entry: Entry, archive: Path, aside: Path) -> list[Path]:
    """Take the files of a model out of what came, into a folder of their own."""
    aside.mkdir()
    if entry.collection:
        members = _pairs(archives.member_names(archive))
    elif entry.member:
        members = [name for name in (entry.member, entry.definition) if name]
    else:
        return [archive.replace(aside / entry.weights_path.name)]
    targets = {name: aside / Path(name).name for name in members}
    archives.take_out(archive, targets)
    return list(targets.values())


def _pairs(names: Iterable[str]) -> list[str]:
    """Find the models of an archive: a model file and the weights beside it."""
    present = set(names)
    pairs = []
    for name in sorted(present):
        ending = ending_of(name)
        other = name.removesuffix(ending) + WEIGHTS
        if ending and other in present:
            pairs += [name, other]
    if not pairs:
        endings = " or ".join(kind.ENDING for kind in model_kinds())
        raise DataError(f"has no {endings} with a {WEIGHTS} beside it")
    return pairs


def _check_weights(path: Path, *, trusted: bool) -> None:
    """Refuse what servers send in place of a file that they no longer have.

    Where no checksum vouches for it, also what cannot be read: it would be pinned.
    """
    with path.open("rb") as file:
        start = file.read(512).lstrip()
    if not start or start.startswith(b"<"):
        what = "a web page" if start else "empty"
        raise DataError(f"what came is {what}, no file of weights")
    if not trusted and not _is_whole(path):
        raise DataError(f"what came as {path.name} is damaged, or cut short")


def _is_whole(path: Path) -> bool:
    """Tell whether a model file or weights can be read to the end."""
    import h5py
    from google.protobuf.message import DecodeError

    from caffe.proto import caffe_pb2

    try:
        if path.suffix == ".h5":
            with h5py.File(path, "r") as file:
                return len(file) > 0
        net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    except (OSError, RuntimeError, DecodeError):
        return False
    return bool(net.layer or net.layers)


def _take_in(entry: Entry, placed: list[Path]) -> None:
    """Register the collection's models that are not registered yet."""
    registered = entries()
    for path in placed:
        ending = ending_of(path.name)
        name = path.name.removesuffix(ending)
        if not ending or name in registered:
            continue
        weights = f"{name}{WEIGHTS}"
        register(
            name,
            {
                "what": f"{entry.what} ({name})",
                "licence": entry.licence,
                "citation": entry.citation,
                "file": f"{entry.name}/{weights}",
                "definition": f"{entry.name}/{path.name}",
                "sha256": sha256_of(path.with_name(weights)),
                "size": path.with_name(weights).stat().st_size,
            },
        )
        LOG.info("%s: is a model now", name)


def verify(entry: Entry) -> str:
    """Compare a model's files with their checksums.

    Returns
    -------
    str
        What was found, for a person.

    Raises
    ------
    DataError
        A file that is missing or another one than it was.
    """
    if state(entry) == "to fetch":
        return "not fetched"
    if entry.file:
        files_of(entry)
        if not entry.sha256:
            return "here; its list has no checksum"
        _compare(entry.weights_path, entry.sha256)
        return "as its list says"
    record = _record(entry)
    for name, sha256 in record["files"].items():
        _compare(entry.cache / name, sha256)
    return "as it was fetched" + (" (pinned)" if not entry.sha256 else "")


def _record(entry: Entry) -> dict[str, Any]:
    path = entry.cache / FETCHED
    try:
        record = read_notes(path)
        with reading(path):
            record["files"].items()
    except DataError as error:
        raise DataError(
            f"{error}; 'pyunet zoo fetch {entry.name} --again' downloads it again"
        ) from error
    return record


def _compare(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    actual = sha256_of(path)
    if actual != sha256:
        raise DataError(f"{path}: has sha256 {actual}, expected {sha256}")
