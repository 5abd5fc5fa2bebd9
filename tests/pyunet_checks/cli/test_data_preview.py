import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.cli import main
from tests.support import datasets

SMALL = ["--input-shape", "64", "--output-shape", "48"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with sections in two folders."""
    monkeypatch.chdir(tmp_path)
    images, labels = datasets.em(2, 96)
    datasets.write_folder(tmp_path / "images", images)
    datasets.write_folder(tmp_path / "labels", labels)
    return tmp_path


def preview(*words, images="images", labels="labels"):
    return main(["data", "preview", "--images", images, "--labels", labels, *words])


@pytest.mark.parametrize("field", ["paper", "freiburg"])
def test_draws_as_many_tiles_as_are_asked_for(here, capsys, field):
    assert preview(*SMALL, "--samples", "3", "--field", field, "--out", "p.png") == 0
    assert "p.png: 3 tiles, of image" in capsys.readouterr().out
    with Image.open("p.png") as picture:
        assert picture.size == (1720, 40 + 3 * 430)


def test_draws_four_tiles_by_itself_and_never_very_many(here):
    assert preview(*SMALL, "--out", "p.png") == 0
    with Image.open("p.png") as picture:
        assert picture.size[1] == 40 + 4 * 430
    assert preview(*SMALL, "--samples", "1000", "--out", "p.png") == 0
    with Image.open("p.png") as picture:
        assert picture.size[1] == 40 + 20 * 430


def test_draws_the_same_for_the_same_seed(here):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        words = ["--samples", "1", "--seed", seed, "--out", f"{name}.png"]
        assert preview(*SMALL, *words) == 0
    pictures = [np.asarray(Image.open(f"{name}.png")) for name in "abc"]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


def test_draws_volumes(here):
    images, labels = datasets.synthetic_stack(6, 64, rng=0)
    tifffile.imwrite("i.tif", images, photometric="minisblack")
    tifffile.imwrite("l.tif", labels, photometric="minisblack")
    words = [
        "--volume",
        "--input-shape",
        "4,48,48",
        "--output-shape",
        "2,32,32",
        "--inside",
        "255",
    ]
    assert (
        preview(*words, "--samples", "2", "--out", "p.png",
                images="i.tif", labels="l.tif") == 0
    )  # fmt: skip


def test_a_folder_that_is_not_there_is_refused(here, capsys):
    assert preview(*SMALL, "--samples", "1", "--out", "none/p.png") == 1
    assert "none/p.png: cannot be written" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    assert main(["data", "preview", "--help"]) == 0
    assert "pyunet data preview --images train-vol" in capsys.readouterr().out
