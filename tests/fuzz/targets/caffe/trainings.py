"""What a training leaves: its side-car, from which it resumes, and its log."""

from __future__ import annotations

import io
import random
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from caffe.cli import parse_log
from caffe.engine.solvers import get_solver
from caffe.proto import caffe_pb2
from caffe.proto.text import parse_text
from tests.fuzz import corpus
from tests.fuzz.mutation import WORDS, mutate_bytes, mutate_lines
from tests.fuzz.target import Target, refusing

_SOLVER = """
base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 average_loss: 2 random_seed: 1
snapshot_prefix: "s" max_iter: 10 test_iter: 1 test_interval: 100
net_param {
  layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {
    data_filler { type: "gaussian" } data_filler { type: "constant" }
    shape { dim: 2 dim: 3 } shape { dim: 2 } } }
  layer { name: "drop" type: "Dropout" bottom: "x" top: "x" }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "l" } }
"""
_STATE = "s_iter_2.solverstate"
_SIDECAR = f"{_STATE}.resume.npz"


def _solver() -> Any:
    return get_solver(parse_text(_SOLVER, caffe_pb2.SolverParameter()))


@cache
def _left() -> dict[str, bytes]:
    """Files of a training of two steps."""
    import os
    import tempfile

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            solver = _solver()
            solver.step(2)
            solver.snapshot()
            return {path.name: path.read_bytes() for path in Path().iterdir()}
        finally:
            os.chdir(before)


def _sidecar(data: bytes, folder: Path) -> None:
    """Resume a training from it."""
    for name, content in _left().items():
        Path(name).write_bytes(content)
    Path(_SIDECAR).write_bytes(data)
    with refusing():
        solver = _solver()
        solver.restore(_STATE)
        solver.step(1)


def _sidecars() -> dict[str, bytes]:
    return {"sound": _left()[_SIDECAR]}


_ODD_ARRAYS = (
    np.array([]),
    np.array(-1),
    np.array(2**63 - 1),
    np.array(np.nan),
    np.array("text"),
    np.array(b"\xff"),
    np.zeros((0, 3)),
    np.zeros(3, "c8"),
    np.zeros(2, [("a", "f4")]),
    np.zeros(1, "M8[s]"),
    np.zeros((1,) * 30, "f2"),
    np.ones(5000, "u1"),
)


def _mutate(sound: list[bytes], rng: random.Random) -> bytes:
    """Put odd arrays in the place of those of a side-car."""
    raw = rng.choice(sound)
    try:
        with np.load(io.BytesIO(raw)) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, TypeError):
        return mutate_bytes([raw], rng)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(arrays))
        change = rng.randrange(5)
        if change == 0:
            del arrays[name]
        elif change == 1:
            arrays[
                "x" + rng.choice(WORDS).replace("\udc80", "u").replace("\0", "0")
            ] = arrays[name]
        elif change == 2:
            arrays[name] = np.resize(arrays[name], rng.randrange(7))
        else:
            arrays[name] = rng.choice(_ODD_ARRAYS)
        if not arrays:
            break
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            archive.writestr(f"{name}.npy", member.getvalue())
    return file.getvalue()


def _log(data: bytes, folder: Path) -> None:
    path = folder / "input.log"
    path.write_bytes(data)
    with refusing():
        for rows in parse_log.parse_log(str(path)).values():
            if rows:
                parse_log._csv(rows, ",")


def _logs() -> dict[str, bytes]:
    folder = corpus.TESTS / "reference/logs"
    return {
        name: (folder / f"{name}.stderr").read_bytes() for name in ("train", "resume")
    }


TARGETS = (
    Target("sidecar", _sidecar, _sidecars, _mutate),
    Target("log", _log, _logs, mutate_lines),
)
