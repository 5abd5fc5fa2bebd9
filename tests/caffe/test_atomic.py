import contextlib
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caffe import atomic
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


def test_through_a_link_the_file_it_points_at_is_written_and_the_link_stays(tmp_path):
    target, link = tmp_path / "there" / "a.bin", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to("there/a.bin")
    atomic.write_bytes(link, b"new")
    assert link.readlink() == Path("there/a.bin")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) + names(target.parent) == ["link", "there", "a.bin"]


def test_through_a_link_to_nothing_a_file_is_made_where_it_points(tmp_path):
    (tmp_path / "link").symlink_to("a.bin")
    atomic.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_loop_of_links_is_said(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileError, match="a: cannot be written: Too many levels of"):
        atomic.write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_pipe_gets_the_content_and_stays(tmp_path, through_a_link):
    path = pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    if through_a_link:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        atomic.write_bytes(path, b"new" * 50_000)
        assert reader.communicate()[0] == b"new" * 50_000
    assert pipe.is_fifo()


def test_a_device_gets_the_content_and_stays(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    atomic.write_bytes("/dev/null", b"new")
    atomic.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").readlink() == Path("/dev/null")
    with pytest.raises(FileError, match="/dev/full: cannot be written: No space left"):
        atomic.write_bytes("/dev/full", b"new")
    for device in ("/dev/null", "/dev/full"):
        assert stat.S_ISCHR(Path(device).stat().st_mode)


WRITES_TO_STDOUT = """
from caffe import atomic
print("before")
atomic.write_bytes("/dev/stdout", b"content\\n")
print("after")
"""


def test_the_standard_output_gets_the_content_where_it_stands(tmp_path):
    path = tmp_path / "out"
    path.write_text("earlier\n")
    run = [sys.executable, "-c", WRITES_TO_STDOUT]
    with path.open("a") as out:
        subprocess.run(run, stdout=out, check=True)
    assert path.read_text() == "earlier\nbefore\ncontent\nafter\n"
    said = subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout
    assert said == b"before\ncontent\nafter\n"
    assert names(tmp_path) == ["out"]


def test_a_folder_is_not_written_over(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(FileError, match="a: cannot be written: Is a directory"):
        atomic.write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]


def test_a_name_that_no_file_can_have_is_one_line(tmp_path):
    with pytest.raises(FileError, match=r"cannot be written: .*embedded null"):
        atomic.write_bytes(tmp_path / "a\0b", b"new")


STOPS_HALFWAY = """
import sys, time
from caffe import atomic
def parts():
    yield b"half"
    print("there", flush=True)
    time.sleep(600)
atomic.write_parts(sys.argv[1], parts())
"""


@contextlib.contextmanager
def writing(path):
    """Start a process that writes half of a file and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPS_HALFWAY, path], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"there\n"
            yield process
        finally:
            process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path):
    with writing(tmp_path / "a") as killed, writing(tmp_path / "b") as alive:
        killed.kill()
        killed.wait()
        (left,) = [name for name in names(tmp_path) if name.startswith(".a.")]
        atomic.write_bytes(tmp_path / "c", b"new")
        (kept, c) = names(tmp_path)
        assert left != kept
        assert kept.startswith(".b.")
        assert c == "c"
        assert alive.poll() is None


def test_old_leftovers_are_removed_only_if_their_process_ended_and_for_their_file(
    tmp_path,
):
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    dead, alive = ended.pid, os.getpid()
    for name in (f".a.{dead}.tmp", f"a.{dead}.tmp", f".a.{alive}.tmp", f"b.{dead}.tmp"):
        (tmp_path / name).touch()
    (tmp_path / f".a.{dead}-00000000-0.tmp").touch()  # of another machine
    atomic.write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == sorted(
        [f".a.{dead}-00000000-0.tmp", f".a.{alive}.tmp", "a", f"b.{dead}.tmp"]
    )
