"""The bar at a terminal, and the log in a folder."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from caffe.cli import main
from tests.support.files import names
from tests.support.solvers import logs_folder

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
ROOT = Path(__file__).parents[3]
STAMP = re.compile(r"^[IWEF]\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ ", re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(logs_folder(tmp_path))
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    return tmp_path


def at_terminal(*arguments, columns=100):
    """Run ``caffe`` at a terminal; return its status and what was to be seen."""
    import termios

    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "caffe", *arguments])
    size = struct.pack("HHHH", 40, columns, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), seen.decode()


def visible(text):
    """Give the lines as a terminal shows them after a run: \\r goes to the begin."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_a_terminal_shows_a_bar_below_the_log():
    status, seen = at_terminal("train", "-solver", "s2.prototxt")
    assert status == 0
    lines = visible(seen)
    bars = [line for line in lines if line.startswith("train:")]
    assert len(bars) == 1
    assert re.fullmatch(
        r"train: 100%\|.*\| 12/12 \[\d\d:\d\d<00:00, +\S+(it/s|s/it), loss=0\.7\d+\]",
        bars[0],
    )
    others = [line for line in lines if line != bars[0]]
    assert "Optimization Done." in others[-2]
    pieces = [line for line in others if "it/s, loss=" in line]
    assert pieces == []  # the bar never stays within the log
    assert len([line for line in others if ", lr = " in line]) == 4


@pytest.mark.parametrize("muted", [True, False])
def test_there_is_no_bar_where_nobody_would_see_it(capfd, muted):
    if muted:
        _, seen = at_terminal("train", "-solver", "s2.prototxt", "-minloglevel=1")
    else:
        assert main(["train", "-solver", "s2.prototxt"]) == 0
        seen = capfd.readouterr().err
    assert "train:" not in seen


class TestLogFolder:
    ARGUMENTS = ("train", "-solver", "s2.prototxt", "--log", "runs/1")

    def test_it_holds_the_log_and_tables(self, folder, capfd):
        assert main(self.ARGUMENTS) == 0
        kept = Path("runs/1/train.log").read_text()
        shown = capfd.readouterr().err
        begin = kept.splitlines()[0]
        assert shown[shown.index(begin) :].startswith(kept)
        assert "solver.cpp:332] Optimization Done.\n" in kept
        found = [name for name in names(folder / "runs/1") if "tfevents" not in name]
        assert found == ["test.csv", "train.csv", "train.log"]

    def test_a_resumed_training_goes_on_there(self, capfd):
        assert main(self.ARGUMENTS) == 0
        first = Path("runs/1/train.log").read_text()
        assert main([*self.ARGUMENTS, "-snapshot", "run_iter_6.solverstate.h5"]) == 0
        both = Path("runs/1/train.log").read_text()
        assert both.startswith(first)
        assert "Restoring previous solver status" in both or "Resuming from" in both
        rows = Path("runs/1/train.csv").read_text().splitlines()
        assert [row.partition(",")[0] for row in rows[1:]] == ["0", "3", "6", "9"]

    def test_another_training_may_not_write_over_it(self, capfd):
        Path("runs/1").mkdir(parents=True)
        Path("runs/1/train.log").write_text("old\n")
        assert main(self.ARGUMENTS) == 1
        assert "-log runs/1: holds the log of another" in capfd.readouterr().err
        assert Path("runs/1/train.log").read_text() == "old\n"

    def test_it_says_what_ended_the_training(self, capfd):
        Path("net2.prototxt").unlink()
        assert main(self.ARGUMENTS) == 1
        last = Path("runs/1/train.log").read_text().splitlines()[-1]
        assert STAMP.sub("", last) == STAMP.sub(
            "", capfd.readouterr().err.splitlines()[-1]
        )
        assert "net2.prototxt: " in last

    def test_a_place_that_cannot_be_written_is_refused_at_the_start(self, capfd):
        Path("runs").write_text("a file")
        assert main(self.ARGUMENTS) == 1
        last = capfd.readouterr().err.splitlines()[-1]
        assert re.search(r"runs/1/train\.log: cannot be written: \w+", last)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_told_once_and_costs_no_training(self, folder, capfd):
        Path("runs/1").mkdir(parents=True)
        Path("runs/1/train.log").symlink_to("/dev/full")
        resumed = ["-snapshot", "run_iter_6.solverstate.h5"]
        assert main(["train", "-solver", "s2.prototxt"]) == 0
        before = names(folder)
        capfd.readouterr()
        assert main([*self.ARGUMENTS, *resumed]) == 0
        lines = capfd.readouterr().err.splitlines()
        told = [line for line in lines if "runs/1/train.log" in line]
        assert len(told) == 1
        assert re.search(r"train\.log: cannot be written: No space left on", told[0])
        assert names(folder) == before


def run_into(target, *arguments):
    """Run ``caffe train`` with a log that goes to an open file; its status."""
    command = [sys.executable, "-m", "caffe", "train", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=target, stderr=subprocess.STDOUT, env=environment
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_costs_no_training(folder):
    with (
        open("/dev/full", "w") as full,
        run_into(full, "-solver", "s2.prototxt") as run,
    ):
        assert run.wait() == 0
    assert "run_iter_12.solverstate.h5" in names(folder)


@pytest.mark.slow
def test_a_log_that_nobody_reads_any_more_stops_after_a_snapshot(folder):
    text = Path("s2.prototxt").read_text()
    long = re.sub(r"max_iter: *\d+", "max_iter: 1000000", text)
    Path("long.prototxt").write_text(re.sub(r"snapshot: *\d+", "", long))
    with run_into(subprocess.PIPE, "-solver", "long.prototxt") as run:
        for line in run.stdout:
            if b"Iteration 3" in line:
                break
        run.stdout.close()
        assert run.wait() == 0
    (state,) = [n for n in names(folder) if n.endswith(".solverstate.h5.resume.npz")]
    assert re.fullmatch(r"run_iter_\d+\.solverstate\.h5\.resume\.npz", state)
