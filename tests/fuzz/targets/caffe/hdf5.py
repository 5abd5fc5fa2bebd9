"""HDF5: trained weights, states of solvers, and rows to learn from."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe.engine.solvers import state
from caffe.engine.sources.hdf5 import HDF5Rows
from tests.fuzz import corpus
from tests.fuzz.mutation import WORDS, mutate_bytes, mutate_lines
from tests.fuzz.target import Target, refusing

_LARGEST_ROW = 1 << 20
_LIST = b"input.h5\ninput.h5\n"


def _weights(data: bytes, folder: Path) -> None:
    path = folder / "input.h5"
    path.write_bytes(data)
    with refusing():
        corpus.small_net().load_hdf5(path)


def _state(data: bytes, folder: Path) -> None:
    path = folder / "input.h5"
    path.write_bytes(data)
    with refusing():
        state.read(path)


def _rows(data: bytes, folder: Path) -> None:
    (folder / "input.h5").write_bytes(data)
    source = folder / "list.txt"
    source.write_bytes(_LIST)
    with refusing():
        _read_rows(HDF5Rows(str(source), ["data", "label"]))


def _list(data: bytes, folder: Path) -> None:
    path = folder / "input.h5"
    if not path.exists():
        path.write_bytes(corpus.hdf5_image(corpus.fill_rows))
    source = folder / "list.txt"
    source.write_bytes(data)
    with refusing():
        _read_rows(HDF5Rows(str(source), ["data", "label"]))


def _read_rows(rows: HDF5Rows) -> None:
    shapes = [shape[1:] for shape in rows.shapes[0].values()]
    wanted = np.arange(min(2, rows.rows(0)))
    try:
        if all(prod(shape) <= _LARGEST_ROW for shape in shapes):
            rows.read(0, wanted, [np.empty((len(wanted), *s), "f4") for s in shapes])
    finally:
        rows.close()


def _images(*fills: Callable[[Any], object]) -> dict[str, bytes]:
    return {
        f"{fill.__name__[5:]}-{libver}": corpus.hdf5_image(fill, libver)
        for libver in ("earliest", "latest")
        for fill in fills
    }


def _huge(file: Any, name: str) -> None:
    file.create_dataset(name, shape=(1 << 40, 2), chunks=(1, 2), dtype="f4")


def _deep(file: Any, name: str) -> None:
    file.create_group(name + "/a" * 50)


_CHANGES: list[Callable[[Any, str], object]] = [
    _huge,
    _deep,
    lambda file, name: file.create_dataset(name, (1 << 34,), "u1", chunks=(1 << 16,)),
    lambda file, name: file.__setitem__(name, np.bytes_("text")),
    lambda file, name: file.__setitem__(name, np.array([b"a", b"\xff"])),
    lambda file, name: file.__setitem__(name, "a text"),
    lambda file, name: file.__setitem__(name, np.zeros(2, [("x", "f4"), ("y", "i2")])),
    lambda file, name: file.__setitem__(name, h5py.Empty("f4")),
    lambda file, name: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
    lambda file, name: file.__setitem__(name, h5py.ExternalLink("gone.h5", "/x")),
    lambda file, name: file.__setitem__(name, np.dtype("f4")),
    lambda file, name: file.__setitem__(name, np.zeros(2, "c8")),
    lambda file, name: file.__setitem__(name, np.array([np.nan, -np.inf, 1e300])),
    lambda file, name: file.__setitem__(name, np.array(2**63, "u8")),
    lambda file, name: file.__setitem__(name, np.zeros((0, 3), "f4")),
    lambda file, name: file.__setitem__(name, np.zeros((1,) * 32, "f4")),
    lambda file, name: file.create_dataset(name, (2,), h5py.ref_dtype),
    lambda file, name: file.create_dataset(name, (2,), h5py.vlen_dtype(np.float32)),
    lambda file, name: file.create_dataset(
        name, (1 << 30,), "f4", external=[("/dev/zero", 0, 1 << 32)]
    ),
]


def _mutate(sound: list[bytes], rng: random.Random) -> bytes:
    """Put something odd in the place of a dataset or a group, or beside it."""
    raw = rng.choice(sound)
    try:
        with h5py.File.in_memory(raw) as file:
            names: list[str] = []
            file.visit(names.append)
            for _ in range(rng.choice((1, 1, 2))):
                _change(file, rng.choice(names), rng)
            file.flush()
            return bytes(file.id.get_file_image())
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        return mutate_bytes([raw], rng)


def _change(file: Any, name: str, rng: random.Random) -> None:
    kind = rng.randrange(5)
    if kind == 0:
        word = rng.choice(WORDS).replace("\0", "0").encode(errors="replace")
        file.move(name, f"{name.rpartition('/')[0]}/{word.decode() or 'empty'}")
        return
    if kind == 1:
        file[f"{name.rpartition('/')[0]}/{rng.randrange(4)}x"] = file[name]
        return
    if kind > 2 or name in file:
        del file[name]
    rng.choice(_CHANGES)(file, name)


def _lists() -> dict[str, bytes]:
    return {
        "two": _LIST,
        "blanks": b"  input.h5 \r\n\n",
        "bom": b"\xef\xbb\xbfinput.h5",
    }


TARGETS = (
    Target(
        "h5_weights",
        _weights,
        lambda: _images(corpus.fill_weights),
        _mutate,
    ),
    Target("h5_state", _state, lambda: _images(corpus.fill_state), _mutate),
    Target(
        "h5_rows",
        _rows,
        lambda: _images(corpus.fill_rows) | {"odd": corpus.hdf5_image(corpus.fill_odd)},
        _mutate,
    ),
    Target("h5_list", _list, _lists, mutate_lines),
)
