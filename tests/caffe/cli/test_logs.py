"""The lines of the commands against those of the original."""

import re

import pytest

from caffe.cli import main
from caffe.engine import hdf5
from tests.support.solvers import logs_folder

pytestmark = pytest.mark.reference
PREFIX = re.compile(r"^[IWEF]\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ ([\w.]+:\d+\] .*)$")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")
PACE = re.compile(r"\(\S+ iter/s, \S+s/")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(logs_folder(tmp_path))
    monkeypatch.setattr(hdf5, "_announced", set())
    return tmp_path


def messages(text, begin):
    """Lines with glog's prefix from the first that holds `begin`."""
    found = [m[1] for line in text.splitlines() if (m := PREFIX.match(line))]
    first = next(i for i, line in enumerate(found) if begin in line)
    return found[first:]


def run(capfd, *arguments):
    """Run a command and return its log."""
    assert main(arguments) == 0
    out, err = capfd.readouterr()
    # What a net costs is ours to print; the original has nothing on stdout.
    assert "time" in arguments or out == ""
    return err


def masked(lines):
    return [NUMBER.sub("#", line.replace(" nan", " 0")) for line in lines]


def without_class(lines):
    """Lines but for one that depends on what the process read before."""
    return [line for line in lines if "Datatype class" not in line]


def test_training_from_nothing_logs_the_lines_of_the_original(folder, capfd):
    wanted = messages((folder / "train.stderr").read_text(), "Starting Optimization")
    found = messages(run(capfd, "train", "-solver", "s2.prototxt"), "Starting")
    assert masked(without_class(found)) == masked(without_class(wanted))


def test_resumed_training_logs_the_numbers_of_the_original(folder, capfd):
    wanted = messages((folder / "resume.stderr").read_text(), "Resuming from")
    found = messages(
        run(
            capfd,
            "train",
            "--solver=s2.prototxt",
            "--snapshot",
            "run_iter_6.solverstate.h5",
        ),
        "Resuming from",
    )
    found = [line for line in found if "resume.npz" not in line]
    paceless = [PACE.sub("(", line) for line in without_class(found)]
    assert paceless == [PACE.sub("(", line) for line in without_class(wanted)]


def test_the_solver_is_shown_as_the_original_shows_it(folder, capfd):
    text = (folder / "train.stderr").read_text()
    wanted = text[text.index("test_iter: 2") : text.index("solver.cpp:102")]
    shown = run(capfd, "train", "-solver", "s2.prototxt")
    found = shown[shown.index("test_iter: 2") : shown.index("solver.cpp:102")]
    assert found.splitlines()[:-1] == wanted.splitlines()[:-1]


def test_scores_are_those_of_the_original(folder, capfd):
    def split(lines):
        numbers = [float(m[0]) for line in lines for m in NUMBER.finditer(line)]
        return masked(lines), numbers

    wanted = messages((folder / "test.stderr").read_text(), "Running for")
    log = run(
        capfd,
        "test",
        "-model",
        "net2.prototxt",
        "-weights",
        "run_iter_12.caffemodel.h5",
        "-iterations",
        "3",
    )
    found_text, found_numbers = split(without_class(messages(log, "Running for")))
    wanted_text, wanted_numbers = split(without_class(wanted))
    assert found_text == wanted_text
    assert found_numbers == pytest.approx(wanted_numbers, rel=5e-6)


def test_times_are_logged_as_in_the_original(folder, capfd):
    wanted = messages((folder / "time.stderr").read_text(), "Performing Forward")
    log = run(capfd, "-iterations=3", "-model=net2.prototxt", "time")
    found = messages(log, "Performing Forward")
    assert masked(without_class(found)) == masked(without_class(wanted))
