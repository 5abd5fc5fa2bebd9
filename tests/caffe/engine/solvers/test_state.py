"""Solver states in files."""

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from caffe.engine.solvers import state
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from tests.support.files import names, tree
from tests.support.solvers import CASES, REFERENCE, case_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder("adam", tmp_path))
    return tmp_path


@pytest.fixture
def solver(folder):
    return caffe.get_solver("solver.prototxt")


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES)
def test_states_are_written_as_the_original_writes_them(case, tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder(case, tmp_path))
    wanted_tree = tree("snap_iter_10.solverstate.h5")
    raw = (tmp_path / "snap_iter_10.solverstate").read_bytes()
    for kind, ending in (("HDF5", ".h5"), ("BINARYPROTO", "")):
        param = caffe_pb2.SolverParameter()
        solver = caffe.get_solver("solver.prototxt")
        param.CopyFrom(solver.param)
        param.snapshot_format = caffe_pb2.SolverParameter.SnapshotFormat.Value(kind)
        solver = caffe.get_solver(param)
        solver.restore(f"snap_iter_10.solverstate{ending}")
        solver.snapshot()
    assert tree("snap_iter_10.solverstate.h5") == wanted_tree
    found = caffe_pb2.SolverState.FromString(
        (tmp_path / "snap_iter_10.solverstate").read_bytes()
    )
    assert found == caffe_pb2.SolverState.FromString(raw)


def test_the_file_is_the_message_byte_by_byte(tmp_path):
    history = [np.arange(6, dtype="f4").reshape(2, 3).T, np.zeros(0, "f4"), np.ones(())]
    draft, _ = state.draft(
        state.SolverState(7, "a.caffemodel", 2, history),
        tmp_path / "s",
        hdf5_format=False,
    )
    draft.keep()
    message = caffe_pb2.SolverState(iter=7, learned_net="a.caffemodel", current_step=2)
    message.history.add(shape={"dim": [3, 2]}, data=[0, 3, 1, 4, 2, 5])
    message.history.add(shape={"dim": [0]})
    message.history.add(shape={}, data=[1])
    assert (tmp_path / "s").read_bytes() == message.SerializeToString()


def test_a_state_of_another_method_is_refused(solver, folder):
    other = REFERENCE / "solvers" / "sgd_fixed" / "snap_iter_10.solverstate"
    raw = other.read_bytes()
    (folder / "sgd.solverstate").write_bytes(raw)
    with pytest.raises(
        CheckError,
        match="Incorrect length of history blobs: the file has 6, "
        "a Adam solver of this net has 12",
    ):
        solver.restore("sgd.solverstate")


@pytest.mark.parametrize("ending", ["", ".h5"])
def test_a_truncated_state_is_named(solver, folder, ending):
    path = folder / f"snap_iter_10.solverstate{ending}"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(FileError, match=r"snap_iter_10\.solverstate.*truncated"):
        solver.restore(path.name)


@pytest.mark.parametrize("name", ["none.solverstate", "none.solverstate.h5"])
def test_a_missing_state_is_named(solver, name):
    with pytest.raises(FileError, match=f"{name}: no such file"):
        solver.restore(name)


@pytest.mark.parametrize("name", ["snap_iter_10.caffemodel.h5", "train.h5"])
def test_hdf5_that_is_no_state_is_refused(solver, name):
    with pytest.raises(FileError, match="no solver state: it has no 'iter'"):
        solver.restore(name)


def test_weights_that_moved_with_their_state_are_found(solver, folder, capsys):
    moved = folder / "moved"
    moved.mkdir()
    for name in names(folder):
        if name.startswith("snap_iter_10"):
            (folder / name).rename(moved / name)
    solver.restore("moved/snap_iter_10.solverstate")
    assert "using moved/snap_iter_10.caffemodel" in capsys.readouterr().err


def put_sidecar(path, arrays):
    digest = state.fingerprint(path)
    with state.draft_sidecar(path, arrays, digest=digest) as draft:
        draft.keep()


class TestSideCar:
    def test_what_was_written_is_read_for_the_same_state(self, folder):
        arrays = {"train/random": np.arange(3), "loss/value": np.array("text")}
        put_sidecar("train.h5", arrays)
        found = state.read_sidecar("train.h5")
        assert {k: v.tolist() for k, v in found.items()} == {
            "train/random": [0, 1, 2],
            "loss/value": "text",
        }

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            ("missing", "is missing"),
            ("other", "belongs to another solver state"),
            ("truncated", "can't be read"),
            ("pickle", "can't be read"),
            ("array", "can't be read"),
        ],
    )
    def test_any_other_is_ignored_with_one_warning(
        self, folder, capsys, damage, problem
    ):
        path = folder / "state"
        path.write_bytes(b"1")
        sidecar = folder / "state.resume.npz"
        if damage != "missing":
            put_sidecar(path, {"a": np.zeros(99)})
        if damage == "other":
            path.write_bytes(b"2")
        if damage == "truncated":
            sidecar.write_bytes(sidecar.read_bytes()[:-50])
        if damage == "pickle":
            with sidecar.open("wb") as file:
                np.savez(file, sha256=np.array([{}], dtype=object))
        if damage == "array":
            with sidecar.open("wb") as file:
                np.save(file, np.zeros(3))
        assert state.read_sidecar(path) is None
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("W")
        assert f"state.resume.npz {problem}" in line


class TestFullDisk:
    def test_a_snapshot_that_fails_leaves_the_one_before_whole(
        self, solver, folder, monkeypatch
    ):
        def refuse(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        solver.restore("snap_iter_10.solverstate")
        solver.snapshot()
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        solver.step(1)
        solver.iter = 10
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(FileError, match="No space left on device"):
            solver.snapshot()
        assert {name: (folder / name).read_bytes() for name in names(folder)} == before


class Killed(BaseException):
    """Ends a snapshot at some place, as a kill does: nothing of it goes on."""


class TestKilled:
    """What stands under the names of a snapshot after each of its renames."""

    KINDS = ("caffemodel", "solverstate.resume.npz", "solverstate")

    @pytest.fixture
    def killed_before(self, monkeypatch):
        def at(number):
            real, calls = Path.replace, []

            def replace(path, target):
                calls.append(target)
                if len(calls) == number:
                    raise Killed
                return real(path, target)

            monkeypatch.setattr("pathlib.Path.replace", replace)

        return at

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_no_state_stands_without_its_side_car(
        self, solver, folder, killed_before, number
    ):
        solver.step(3)
        killed_before(number)
        with pytest.raises(Killed):
            solver.snapshot()
        there = [name for name in names(folder) if name.startswith("snap_iter_3.")]
        assert there == [f"snap_iter_3.{kind}" for kind in self.KINDS[: number - 1]]

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_an_older_state_never_meets_the_weights_of_another_training(
        self, solver, folder, killed_before, number
    ):
        solver.step(3)
        solver.snapshot()
        solver.net.params["conv"][0].data[...] += 1
        killed_before(number)
        with pytest.raises(Killed):
            solver.snapshot()
        assert "snap_iter_3.solverstate" not in names(folder)

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_training_that_is_repeated_keeps_its_state_all_the_time(
        self, solver, folder, killed_before, capsys, number
    ):
        solver.step(3)
        solver.snapshot()
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        killed_before(number)
        with pytest.raises(Killed):
            solver.snapshot()
        assert {name: (folder / name).read_bytes() for name in names(folder)} == before
        assert state.read_sidecar("snap_iter_3.solverstate") is not None


def test_history_of_another_shape_is_refused(solver, folder):
    with h5py.File("snap_iter_10.solverstate.h5", "a") as file:
        del file["history/1"]
        file["history/1"] = np.zeros(9, np.float32)
    with pytest.raises(
        CheckError,
        match=r"history blob 1 has shape \(9,\), this net "
        r"needs \(4,\)",
    ):
        solver.restore("snap_iter_10.solverstate.h5")


ODD_SIDECARS = {
    "train/random/host": [np.array("text"), np.array(3), np.array("{}"), np.array([])],
    "train/random/cpu": [np.zeros(3), np.array("x"), np.zeros(2, [("a", "f4")])],
    "loss/losses": [None, np.array("text"), np.zeros(2, [("a", "f4"), ("b", "f4")])],
    "loss/added": [np.array([1, 2]), np.array(np.nan)],
    "loss/value": [np.array("x"), np.array([b"\xff"])],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in ODD_SIDECARS.items() for value in values],
)
def test_a_side_car_with_odd_values_is_refused_by_name(solver, folder, name, value):
    solver.step(1)
    solver.snapshot()
    path = f"snap_iter_{solver.iter}.solverstate"
    found = state.read_sidecar(path)
    found.pop(name, None)
    if value is not None:
        found[name] = value
    put_sidecar(path, found)
    with pytest.raises(FileError, match=r"snap_iter_1\.solverstate\.resume\.npz: "):
        solver.restore(path)


def test_a_compressed_side_car_is_ignored_with_a_warning(folder, capsys):
    """It could be of any size, and no training writes one."""
    path = folder / "state"
    path.write_bytes(b"1")
    np.savez_compressed(
        folder / "state.resume.npz", sha256=np.array(state.fingerprint(path))
    )
    assert state.read_sidecar(path) is None
    assert "is compressed" in capsys.readouterr().err
