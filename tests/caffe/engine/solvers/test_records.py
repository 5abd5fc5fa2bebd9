"""CSV tables and TensorBoard's files of a training."""

import csv
import errno
import os
import re
import sys
from pathlib import Path

import pytest

import caffe
from caffe.engine.solvers.records import Records
from caffe.errors import FileError
from tests.support.files import names
from tests.support.solvers import logs_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(logs_folder(tmp_path))
    (tmp_path / "kept").mkdir()
    return tmp_path


def solver(**settings):
    text = Path("s2.prototxt").read_text()
    for name, value in settings.items():
        text = re.sub(rf"{name}: .*", f"{name}: {value}", text)
    Path("mine.prototxt").write_text(text)
    return caffe.get_solver("mine.prototxt")


def table(name):
    with Path("kept", name).open(newline="") as file:
        return list(csv.DictReader(file))


def logged(text, pattern):
    return [found.groups() for found in re.finditer(pattern, text)]


def record(training, resume=None):
    if resume:
        training.restore(resume)
    with Records(Path("kept"), training.iter) as records:
        training.watchers.append(records)
        training.solve()


def test_the_tables_hold_what_the_log_shows(folder, capsys):
    record(solver())
    log = capsys.readouterr().err
    rows = table("train.csv")
    assert list(rows[0]) == ["iteration", "seconds", "lr", "average_loss", "loss"]
    found = [(row["iteration"], row["average_loss"]) for row in rows]
    assert found == logged(log, r"Iteration (\d+) \(.*\), loss = (\S+)")
    found = [(row["iteration"], row["lr"]) for row in rows]
    assert found == logged(log, r"Iteration (\d+), lr = (\S+)")
    found = [(row["loss"],) for row in rows]
    assert found == logged(log, r"Train net output #0: loss = (\S+)")
    rows = table("test.csv")
    assert list(rows[0]) == ["iteration", "seconds", "IoU[0]", "IoU[1]", "acc", "loss"]
    assert [row["iteration"] for row in rows] == ["0", "5", "10"]
    for number, name in enumerate(("IoU[0]", "IoU[1]", "acc", "loss")):
        found = [(row[name],) for row in rows]
        assert found == logged(log, rf"Test net output #{number}: \S+ = (\S+)")
    times = [float(row["seconds"]) for row in rows]
    assert times == sorted(times)


def test_a_second_test_net_has_a_table_of_its_own(folder):
    text = Path("net2.prototxt").read_text()
    Path("other.prototxt").write_text(text)
    settings = Path("s2.prototxt").read_text()
    more = settings + 'test_net: "other.prototxt" test_iter: 1\n'
    Path("s2.prototxt").write_text(more)
    record(solver())
    assert [row["iteration"] for row in table("test_1.csv")] == ["0", "5", "10"]


def untimed(name):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table(name)]


def test_a_resumed_training_goes_on_in_the_same_tables(folder):
    record(solver(display=1))
    whole = untimed("train.csv"), untimed("test.csv")
    before = table("train.csv")
    record(solver(display=1), "run_iter_6.solverstate.h5")
    assert (untimed("train.csv"), untimed("test.csv")) == whole
    after = table("train.csv")
    assert after[:6] == before[:6]
    times = [float(row["seconds"]) for row in after]
    assert times == sorted(times)


def test_a_row_that_was_cut_short_is_written_anew(folder):
    record(solver(display=1))
    path = Path("kept", "train.csv")
    whole = untimed("train.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:10])[:-9])
    record(solver(display=1), "run_iter_6.solverstate.h5")
    assert untimed("train.csv") == whole


def test_tensorboard_shows_the_same_numbers(folder):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    record(solver(display=1))
    record(solver(display=1), "run_iter_6.solverstate.h5")
    events = accumulator.EventAccumulator("kept").Reload()
    assert set(events.Tags()["scalars"]) == {
        *(f"train/{name}" for name in ("lr", "average_loss", "loss")),
        *(f"test/{name}" for name in ("IoU[0]", "IoU[1]", "acc", "loss")),
    }
    for name in ("train.csv", "test.csv"):
        wanted = {int(row["iteration"]): float(row["loss"]) for row in table(name)}
        shown = events.Scalars(f"{name.removesuffix('.csv')}/loss")
        found = {event.step: event.value for event in shown}
        assert found == pytest.approx(wanted, rel=1e-5)


def test_without_tensorboard_a_line_says_how_to_get_it(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    record(solver())
    assert names(folder / "kept") == ["test.csv", "train.csv"]
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if "TensorBoard" in line]
    assert line.endswith('] kept: CSV files only; for TensorBoard\'s too: pip install '
                         '"pyunet[tensorboard]"')  # fmt: skip


@pytest.mark.parametrize(
    "text", ["iteration,seconds\nx,y\n", "iteration\n1\n", "a\0b\n\n"]
)
def test_a_table_of_something_else_is_refused(folder, text):
    Path("kept", "train.csv").write_text(text)
    with pytest.raises(FileError, match=r"train\.csv: .* a table of a training by"):
        Records(Path("kept"), 5)


def test_a_training_with_other_outputs_needs_another_folder(folder):
    Path("kept", "train.csv").write_text("iteration,seconds,lr,accuracy\n0,1,0.1,0.5\n")
    with pytest.raises(FileError, match=r"has the columns .*, accuracy; those of this"):
        record(solver(), "run_iter_6.solverstate.h5")


def test_a_full_disk_is_told_once_and_the_training_goes_on(folder, capsys, monkeypatch):
    opened = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "train.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    training = solver()
    record(training)
    assert training.iter == 12
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith("W")]
    assert "train.csv: cannot be written: No space left on device: training" in line
