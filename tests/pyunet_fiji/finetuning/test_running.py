"""A training by ``caffe train``: what is kept of it, how it stops and goes on."""

import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from pyunet.errors import DataError
from pyunet_fiji.finetuning import running
from pyunet_fiji.finetuning.curves import Curves
from pyunet_fiji.finetuning.running import Training, caffe_command, last_snapshot, train
from tests.support import fake_caffe
from tests.support.marks import slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "solver.prototxt").write_text("max_iter: 10 snapshot: 2\n")
    return Training(
        folder=folder,
        iterations=10,
        weights=None,
        gpu=None,
        log=tmp_path / "train.log",
        csv=tmp_path / "curves.csv",
        png=tmp_path / "curves.png",
        best=tmp_path / "best.caffemodel.h5",
    )


@pytest.fixture
def behave(monkeypatch):
    """Let `train` start the fake in place of caffe."""

    def choose(behaviour="well"):
        words = [sys.executable, "-c", fake_caffe.START, behaviour]
        monkeypatch.setattr(running, "caffe_command", lambda: words)

    return choose


def iteration_of(path):
    with h5py.File(path) as file:
        return int(file["iter"][()])


def test_curves_snapshots_and_the_best_weights_are_kept(training, behave):
    behave()
    curves = Curves(("cell",))
    assert train(training, curves) == 10
    assert list(curves.training) == list(range(10))
    assert list(curves.validation) == [0, 2, 4, 6, 8, 10]
    assert curves.best().iteration == iteration_of(training.best) == 4
    assert len(training.csv.read_text().splitlines()) == 12
    assert training.png.is_file()
    kept = sorted(file.name for file in training.folder.glob("*.caffemodel.h5"))
    assert kept == ["snapshot_iter_10.caffemodel.h5", "snapshot_iter_8.caffemodel.h5"]


@pytest.mark.slow
def test_the_programs_words_are_the_plugins(training, behave, tmp_path):
    behave()
    weights = tmp_path / "w.caffemodel.h5"
    train(replace(training, weights=weights, gpu=1), Curves(("cell",)))
    first = training.log.read_text().splitlines()[0]
    assert first == (
        "called with train -solver solver.prototxt -sigint_effect stop "
        f"-weights {weights} -gpu 1"
    )


@posix
@pytest.mark.parametrize("name", ["SIGINT", slow("SIGTERM"), slow("SIGHUP")])
def test_a_signal_stops_after_a_snapshot_and_the_next_call_goes_on_there(
    training, behave, name
):
    behave(name)
    before = signal.getsignal(getattr(signal, name))
    curves = Curves(("cell",))
    assert train(training, curves) == 6
    assert signal.getsignal(getattr(signal, name)) == before
    assert last_snapshot(training.folder) == 6
    again = Curves.read_csv(training.csv, ["cell"])
    assert train(training, again) == 10
    assert "-snapshot snapshot_iter_6.solverstate.h5" in training.log.read_text()
    assert list(again.training) == list(range(10))
    assert list(again.validation) == [0, 2, 4, 6, 8, 10]
    assert iteration_of(training.best) == 4


def test_a_loss_that_is_no_number_ends_the_training(training, behave):
    behave("nan")
    with pytest.raises(DataError, match=r"not a number after 3 iterations: .* --rate"):
        train(training, Curves(("cell",)))
    assert last_snapshot(training.folder) == 2


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("fail", r"ended with status 1: disk is full \(its log is "),
        ("fail-memory", r"CUDA out of memory: take smaller tiles \(--tile\)"),
        ("fail-silently", r"ended with status 0: .* loss = 0\.25"),
    ],
)
def test_a_failure_is_one_line_with_caffes_reason(training, behave, behaviour, said):
    behave(behaviour)
    with pytest.raises(DataError, match=said):
        train(training, Curves(("cell",)))
    assert last_snapshot(training.folder) == 2


@pytest.mark.slow
@posix
def test_a_snapshot_stays_until_another_one_is_whole(training, behave):
    behave("SIGINT")
    assert train(training, Curves(("cell",))) == 6
    behave("torn")
    with pytest.raises(DataError):
        train(training, Curves(("cell",)))
    assert last_snapshot(training.folder) == 6


@posix
@pytest.mark.parametrize(
    ("rows", "start"), [slow(6, 6), slow(5, 4), slow(0, None), (None, 6)]
)
def test_curves_have_no_gap_after_a_kill_before_the_log_was_read(
    training, behave, rows, start
):
    behave("SIGINT")
    assert train(training, Curves(("cell",))) == 6
    if rows is None:
        training.csv.unlink()
    else:
        lines = training.csv.read_text().splitlines(keepends=True)
        training.csv.write_text("".join(lines[: rows + 1]))
    again = Curves.read_csv(training.csv, ["cell"])
    assert list(again.training) == list(range(rows or 0))
    training.log.unlink()
    behave()
    assert train(training, again) == 10
    first = training.log.read_text().splitlines()[0]
    resumed = f"-snapshot snapshot_iter_{start}.solverstate.h5"
    assert first.endswith(resumed) if start else "-snapshot" not in first
    if rows is not None:
        assert list(again.training) == list(range(10))


def test_a_half_written_snapshot_is_not_gone_on_with(training, behave):
    behave("fail")
    with pytest.raises(DataError):
        train(training, Curves(("cell",)))
    for kind in ("caffemodel", "solverstate"):
        whole = training.folder / f"snapshot_iter_2.{kind}.h5"
        torn = training.folder / f"snapshot_iter_4.{kind}.h5"
        torn.write_bytes(whole.read_bytes()[:100])
    assert last_snapshot(training.folder) == 2


def test_a_program_that_says_nothing_is_named_by_its_status(training, monkeypatch):
    words = [sys.executable, "-c", "import sys; sys.exit(3)"]
    monkeypatch.setattr(running, "caffe_command", lambda: words)
    with pytest.raises(DataError, match="ended with status 3: "):
        train(training, Curves(("cell",)))


@pytest.mark.slow
def test_it_trains_in_a_thread_too(training, behave):
    behave()
    reached = []
    thread = threading.Thread(
        target=lambda: reached.append(train(training, Curves(("cell",))))
    )
    thread.start()
    thread.join()
    assert reached == [10]


@posix
def test_a_wish_to_stop_before_the_program_runs_is_passed_on(training, behave):
    behave("SIGINT")
    with running._stopping() as stop:
        stop.note(signal.SIGINT, None)
        process = running._start(training, None)
        stop.reach(process)
        process.communicate()
    assert process.returncode != 0 or last_snapshot(training.folder)


def test_the_caffe_beside_this_python_goes_before_that_on_path(monkeypatch):
    assert caffe_command() == [sys.executable, "-m", "caffe"]
    find = running.importlib.util.find_spec
    monkeypatch.setattr(
        running.importlib.util,
        "find_spec",
        lambda name: None if name == "caffe.__main__" else find(name),
    )
    monkeypatch.setattr(running.shutil, "which", lambda name: f"/bin/{name}")
    assert caffe_command() == ["/bin/caffe"]
    monkeypatch.setattr(running.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="no command 'caffe' on PATH"):
        caffe_command()


@pytest.mark.parametrize(
    ("origin", "path", "expected"),
    [
        ("/clone/caffe/__init__.py", None, "/clone"),
        ("/clone/caffe/__init__.py", "/mine", "/clone:/mine"),
        ("/py/site-packages/caffe/__init__.py", "/mine", "/mine"),
    ],
)
@posix
def test_the_program_finds_the_caffe_of_a_clone(monkeypatch, origin, path, expected):
    class Spec:
        pass

    spec = Spec()
    spec.origin = origin
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path:
        monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    found = running._environment()
    assert found["PYTHONPATH"] == expected
    assert found["GLOG_minloglevel"] == "0"


def test_only_snapshots_of_this_run_count(tmp_path):
    assert last_snapshot(tmp_path) is None
    for name in ("other_iter_9.solverstate.h5", "snapshot_iter_x.solverstate.h5"):
        (tmp_path / name).touch()
    assert last_snapshot(Path(tmp_path)) is None
