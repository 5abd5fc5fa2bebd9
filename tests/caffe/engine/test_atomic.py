import errno
import os

import pytest

from caffe.engine import atomic
from caffe.errors import CheckError, FileError
from tests.support.files import names


def test_a_file_is_replaced_in_one_piece(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_a_part_that_cannot_be_made_leaves_the_old_file_and_nothing_else(tmp_path):
    def parts():
        yield b"new"
        raise CheckError("no gradient")

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(CheckError, match="no gradient"):
        atomic.write_parts(path, parts())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(FileError, match=r"a\.bin: cannot be written: No space left"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileError, match="nowhere/a: cannot be written: No such file"):
        atomic.write_bytes(tmp_path / "nowhere" / "a", b"")


def test_others_may_read_the_file_as_far_as_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        atomic.write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
