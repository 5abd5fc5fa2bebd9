import os
import shutil
import stat

import h5py
import pytest

from pyunet_fiji.doctor import folders
from tests.support.fiji_programs import levels, only

GIB = 2**30


@pytest.fixture
def roomy(monkeypatch):
    """A disk whose free bytes the test gives."""

    def use(free):
        usage = shutil._ntuple_diskusage(2 * free, free, free)
        monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage)

    use(100 * GIB)
    return use


def test_a_folder_with_room_is_fine_and_left_empty(tmp_path, roomy):
    found = list(folders.check(tmp_path))
    assert {f.level for f in found} == {"ok"}
    assert f"process folder {tmp_path}: 100.0 GiB free, can be written" == found[0].what
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_problem(tmp_path, roomy):
    found = only(folders.check(tmp_path / "jobs"), "problem")
    assert found.mend == f"mkdir -p {tmp_path / 'jobs'}"


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path, roomy, monkeypatch):
    def refuse(self, _):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.Path, "write_bytes", refuse)
    found = [f for f in folders.check(tmp_path) if f.level == "problem"]
    assert found[0].what.endswith("cannot be written: Permission denied")
    assert found[1].what.startswith("temporary folder")
    assert found[1].mend == "export TMPDIR=ANOTHER_FOLDER"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_protected_folder_cannot_be_written(tmp_path, roomy):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "Permission denied" in levels(folders.check(tmp_path), "problem")[0]


def test_a_file_that_cannot_be_renamed_is_removed(tmp_path, roomy, monkeypatch):
    def refuse(self, _):
        raise OSError("Input/output error")

    monkeypatch.setattr(folders.Path, "rename", refuse)
    assert "Input/output error" in levels(folders.check(tmp_path), "problem")[0]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_problem(tmp_path, roomy):
    roomy(GIB // 2)
    assert "0.5 GiB free, too little" in levels(folders.check(tmp_path), "problem")[0]


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path, roomy):
    roomy(2 * GIB)
    found = list(folders.check(tmp_path))
    assert levels(found, "problem") == []
    assert "2.0 GiB free, little for several jobs" in levels(found, "warning")[0]


def test_a_blank_in_the_path_is_a_problem(tmp_path, roomy):
    folder = tmp_path / "my jobs"
    folder.mkdir()
    assert "has a blank" in only(folders.check(folder), "problem").what


@pytest.mark.parametrize("locking", ["", "FALSE"])
def test_a_drive_that_does_not_lock_files_is_a_problem(
    tmp_path, roomy, monkeypatch, locking
):
    def refuse(*_):
        raise OSError("unable to lock file, errno = 37")

    monkeypatch.setattr(h5py, "File", refuse)
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", locking)
    found = only(folders.check(tmp_path), "problem")
    assert "unable to lock file" in found.what
    assert found.mend == ("" if locking else "export HDF5_USE_FILE_LOCKING=FALSE")
