"""``pyunet plot``."""

from pathlib import Path

import pytest
from PIL import Image

from pyunet.cli import main

REFERENCE = Path(__file__).parents[2] / "reference" / "logs"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.reference
def test_logs_of_the_original_become_a_picture(capsys):
    logs = [str(REFERENCE / f"{name}.stderr") for name in ("train", "resume")]
    assert main(["plot", *logs, "-o", "both.png", "--smooth", "3"]) == 0
    assert capsys.readouterr().out == "both.png: loss, IoU, acc, learning rate\n"
    with Image.open("both.png") as picture:
        assert picture.size == (1280, 800)


def test_the_picture_is_curves_png_unless_told_otherwise(folder):
    (folder / "a.log").write_text("] Iteration 0, loss = 1\n] Iteration 5, loss = 0.5")
    assert main(["plot", "a.log"]) == 0
    with Image.open("curves.png") as picture:
        assert picture.size == (640, 400)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("c.svg", b"<?xml"),
        ("c.PDF", b"%PDF"),
        ("c.jpg", b"\xff\xd8"),
        ("c", b"\x89PNG"),
    ],
)
def test_the_ending_of_the_name_says_what_the_picture_is(folder, name, start):
    (folder / "a.log").write_text("] Iteration 0, loss = 1\n] Iteration 5, loss = 0.5")
    assert main(["plot", "a.log", "-o", name]) == 0
    assert (folder / name).read_bytes().startswith(start)


def test_an_ending_of_no_picture_is_refused_with_those_that_are(folder, capsys):
    (folder / "a.log").write_text("] Iteration 0, loss = 1\n] Iteration 5, loss = 0.5")
    assert main(["plot", "a.log", "-o", "c.txt"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pyunet plot: c.txt: expected a picture, .")
    assert ".png" in line
    assert ".svg" in line
    assert [path.name for path in folder.iterdir()] == ["a.log"]


def test_a_picture_goes_into_a_device_that_stays(folder):
    (folder / "a.log").write_text("] Iteration 0, loss = 1\n] Iteration 5, loss = 0.5")
    assert main(["plot", "a.log", "-o", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_a_file_that_is_no_log_is_one_line(folder, capsys):
    (folder / "a.log").write_text("nothing")
    assert main(["plot", "a.log"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pyunet plot: a.log: has no line such as 'Iteration 100")
    assert [path.name for path in folder.iterdir()] == ["a.log"]


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5"])
def test_a_smoothing_over_no_points_is_refused(capsys, count):
    assert main(["plot", "a.log", f"--smooth={count}"]) == 2
    assert "is no number of points above 0" in capsys.readouterr().err


def test_a_name_of_a_file_cannot_make_a_line_of_its_own(folder, capsys):
    (folder / "a.log").write_text("] Iteration 0, loss = 1\n] Iteration 5, loss = 0.5")
    assert main(["plot", "a.log", "-o", "b\nc.png"]) == 0
    assert capsys.readouterr().out == "b\\nc.png: loss\n"
