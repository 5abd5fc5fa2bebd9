"""Files of a run appear all together, and never in the place of what is no file."""

import gc
import os
import stat
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet.files import atomic_path, new_files, new_hdf5
from tests.support.files import names


def test_a_link_among_the_new_files_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "out" / "a.txt").symlink_to("../real.txt")
    with new_files(tmp_path / "out") as place:
        place("a.txt").write_text("new")
        place("b.txt").write_text("new")
    assert (tmp_path / "out" / "a.txt").readlink() == Path("../real.txt")
    assert (tmp_path / "real.txt").read_text() == "new"
    assert names(tmp_path / "out") == ["a.txt", "b.txt"]


def test_new_files_that_fail_leave_nothing(tmp_path):
    def write():
        with new_files(tmp_path / "out") as place:
            place("a.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []


def test_leftovers_of_a_dead_process_go_and_those_of_a_live_one_stay(tmp_path):
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    alive = tmp_path / f".im_labels.tif.{os.getpid()}.tmp"
    for file in (tmp_path / f".im_labels.tif.{ended.pid}.tmp", alive):
        file.touch()
    with atomic_path(tmp_path / "im_labels.tif") as draft:
        draft.write_bytes(b"labels")
    assert names(tmp_path) == [alive.name, "im_labels.tif"]


def test_a_device_is_written_to_and_stays():
    with atomic_path(Path("/dev/null")) as draft:
        draft.write_bytes(b"picture")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_loop_of_links_is_one_line(tmp_path):
    (tmp_path / "a").symlink_to("a")
    with (
        pytest.raises(DataError, match="a: cannot be written: Too many levels"),
        atomic_path(tmp_path / "a"),
    ):
        pass


def test_an_hdf5_file_that_is_not_written_leaves_no_broken_memory(tmp_path):
    with (
        pytest.raises(OSError, match="No space left"),
        new_hdf5(Path("/dev/full")) as file,
    ):
        file["a"] = np.zeros(100_000)
    gc.collect()  # what can't be freed would fail this test
    with new_hdf5(tmp_path / "a.h5") as file:
        file["a"] = [1, 2]
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["a"]) == [1, 2]
