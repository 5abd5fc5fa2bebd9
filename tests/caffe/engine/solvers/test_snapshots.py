"""Snapshots that are written while training goes on."""

import errno
import os
import threading

import h5py
import numpy as np
import pytest

import caffe
from caffe.engine import memory
from caffe.engine.solvers import report
from caffe.errors import FileError
from tests.support.files import names
from tests.support.solvers import BASE, case_folder, write_solver

FILES = ["caffemodel", "solverstate", "solverstate.resume.npz"]
SHARED = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "train.txt" batch_size: 4 } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a" param { name: "w" }
  convolution_param { num_output: 2 kernel_size: 3 pad: 1
    weight_filler { type: "xavier" } } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" param { name: "w" }
  convolution_param { num_output: 2 kernel_size: 3
    weight_filler { type: "xavier" } } }
layer { name: "score" type: "Convolution" bottom: "b" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label"
  top: "loss" loss_param { ignore_label: 2 } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder("adam", tmp_path))
    for name in names(tmp_path):
        if name.startswith("snap"):
            (tmp_path / name).unlink()
    return tmp_path


@pytest.fixture
def make(folder):
    def build(extra="", base=BASE):
        return caffe.get_solver(write_solver(folder, base + extra))

    return build


def snapshots(folder):
    return [name for name in names(folder) if name.startswith("snap")]


def contents(folder):
    """Numbers of HDF5 files, which also hold times, and bytes of all others."""
    found = {}
    for name in snapshots(folder):
        found[name] = (folder / name).read_bytes()
        if name.endswith(".h5"):
            with h5py.File(folder / name) as file:
                values = {}
                file.visititems(
                    lambda key, item, values=values: values.update(
                        {key: np.array(item).tobytes()}
                        if isinstance(item, h5py.Dataset)
                        else {}
                    )
                )
            assert values
            found[name] = values
        if name.endswith(".npz"):
            with np.load(folder / name) as arrays:
                found[name] = {
                    key: arrays[key].tobytes() for key in arrays if key != "sha256"
                }
    return found


class Disk:
    """A disk that takes nothing in the writer's thread before it is told to."""

    def __init__(self, monkeypatch):
        self.ready = threading.Event()
        self.threads = []
        self.error = None
        self._flush = os.fsync
        monkeypatch.setattr(os, "fsync", self.flush)

    def flush(self, descriptor):
        self.threads.append(threading.current_thread())
        if self.threads[-1] is not threading.main_thread():
            assert self.ready.wait(60)
        if self.error is not None:
            raise self.error
        self._flush(descriptor)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def at(solver, iteration, work):
    """Let work be done at the start of an iteration."""
    solver.add_callback(
        lambda: work() if solver.iter == iteration else None, lambda: None
    )


def test_steps_are_done_while_the_disk_takes_its_time(make, folder, disk):
    solver = make("snapshot: 5")
    kept, there = [], []
    at(solver, 5, lambda: kept.append(solver.net.params["conv"][0].data.copy()))
    at(solver, 8, lambda: there.append(snapshots(folder)))
    at(solver, 8, disk.ready.set)
    solver.step(9)
    assert [name for name in there[0] if not name.endswith(".tmp")] == []
    assert snapshots(folder) == [f"snap_iter_5.{kind}" for kind in FILES]
    assert not np.array_equal(solver.net.params["conv"][0].data, kept[0])
    found = caffe.Net("net.prototxt", caffe.TEST, weights="snap_iter_5.caffemodel")
    assert np.array_equal(found.params["conv"][0].data, kept[0])


def test_the_next_one_waits_for_the_one_before(make, folder, disk):
    solver = make("snapshot: 3")
    at(solver, 5, disk.ready.set)
    solver.step(12)
    wanted = [f"snap_iter_{n}.{kind}" for n in (12, 3, 6, 9) for kind in FILES]
    assert snapshots(folder) == sorted(wanted)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("extra", ["", "snapshot_diff: true "])
def test_the_files_are_those_that_a_script_gets(make, folder, form, extra):
    (folder / "net.prototxt").write_text(SHARED)
    solver = make(f'type: "Adam" snapshot: 5 snapshot_format: {form} {extra}')
    solver.step(5)
    mine = contents(folder)
    assert len(mine) == 3
    for name in mine:
        (folder / name).unlink()
    solver.snapshot()
    assert contents(folder) == mine


def test_a_script_finds_the_files_of_its_own_snapshot_at_once(make, folder, disk):
    solver = make()
    solver.step(2)
    solver.snapshot()
    assert set(disk.threads) == {threading.main_thread()}
    assert snapshots(folder) == [f"snap_iter_2.{kind}" for kind in FILES]


def test_without_memory_for_a_copy_the_step_waits(make, folder, disk, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    make("snapshot: 5").step(6)
    assert set(disk.threads) == {threading.main_thread()}
    assert snapshots(folder) == [f"snap_iter_5.{kind}" for kind in FILES]


def test_what_the_disk_refuses_ends_the_training(make, folder, disk):
    disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    disk.ready.set()
    solver = make("snapshot: 5")
    text = r"snap_iter_5\.caffemodel: cannot be written: No space left on device"
    with pytest.raises(FileError, match=text):
        solver.step(12)
    assert snapshots(folder) == []


def test_an_error_of_the_last_one_is_not_lost(make, disk):
    disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    disk.ready.set()
    with pytest.raises(FileError, match="No space left on device"):
        make("snapshot: 12").step(12)


def interrupt():
    raise KeyboardInterrupt


def test_a_snapshot_is_whole_also_where_an_interrupt_ends_the_step(make, folder, disk):
    solver = make("snapshot: 5")
    at(solver, 6, disk.ready.set)
    at(solver, 6, interrupt)
    with pytest.raises(KeyboardInterrupt):
        solver.step(12)
    assert snapshots(folder) == [f"snap_iter_5.{kind}" for kind in FILES]


def test_of_two_errors_the_second_is_logged(make, folder, disk, capsys):
    solver = make("snapshot: 5")
    disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    at(solver, 5, disk.ready.set)
    at(solver, 5, interrupt)
    with pytest.raises(KeyboardInterrupt):
        solver.step(12)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("E")
    assert "snap_iter_5.caffemodel: cannot be written: No space left" in last


def test_who_reads_the_scores_of_a_test_finds_the_weights(make, folder, disk):
    class Reader(report.Watcher):
        found = ()

        def tested(self, iteration, index, values):
            if iteration == 5:
                self.found = snapshots(folder)

    solver = make("snapshot: 5 test_iter: 1 test_interval: 5")
    reader = Reader()
    solver.watchers.append(reader)
    threading.Timer(0.1, disk.ready.set).start()
    solver.step(6)
    assert reader.found == [f"snap_iter_5.{kind}" for kind in FILES]


def test_the_lines_stand_before_those_of_the_next_iteration(make, folder, capsys):
    make("snapshot: 5 display: 1").step(7)
    shown = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    first = shown.index("Snapshotting to binary proto file snap_iter_5.caffemodel")
    assert shown[first - 1] == "Iteration 4, lr = 0.1"
    assert shown[first + 1] == (
        "Snapshotting solver state to binary proto file snap_iter_5.solverstate"
    )
    assert shown[first + 2].startswith("Iteration 5 (")
