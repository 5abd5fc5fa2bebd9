import numpy as np
import pytest

from pyunet.cli import main
from tests.support import datasets

IMAGES, LABELS = datasets.em(4, 96)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a clean set in two folders."""
    monkeypatch.chdir(tmp_path)
    datasets.write_folder(tmp_path / "images", IMAGES)
    datasets.write_folder(tmp_path / "labels", LABELS)
    return tmp_path


def check(*words):
    return main(["data", "check", *words])


def test_says_that_a_clean_set_is_clean(here, capsys):
    assert check("images", "labels") == 0
    assert capsys.readouterr().out == "images and labels: nothing is wrong\n"


def test_says_what_is_wrong_what_it_means_and_how_to_mend_it(here, capsys):
    datasets.write(here / "images" / "02.png", 0 * IMAGES[2])
    assert check("images", "labels") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "[constant-image] images images/02.png: all pixels are black (0)"
    assert said[1].startswith("    means: ")
    assert said[2].startswith("    mend:  ")
    assert said[-1] == "images and labels: 1 problem(s)"


def test_groups_findings_of_one_kind(here, capsys):
    datasets.write_folder(here / "labels", [label[:-2] for label in LABELS])
    assert check("images", "labels") == 1
    said = capsys.readouterr().out
    assert said.count("means:") == 1
    assert "4 problem(s)" in said


def test_looks_at_weights_test_sets_and_slices(here, capsys):
    datasets.write_folder(here / "weights", [0.0 * LABELS[0]] * 4, ending="tif")
    words = ["--weights", "weights", "--test", "images", "labels"]
    assert check("images", "labels", *words) == 1
    said = capsys.readouterr().out
    assert "[weights-zero]" in said
    assert "[leak-equal]" in said
    datasets.write(here / "images" / "03.png", 0 * IMAGES[2])
    assert check("images", "labels", "--slices", "0:3") == 0


def test_takes_what_is_known_about_the_net(here, capsys):
    assert check("images", "labels", "--output-shape", "388") == 1
    assert "less than the output tile, 388 x 388" in capsys.readouterr().out
    datasets.write_folder(here / "labels", 255 - LABELS)
    assert check("images", "labels") == 1
    assert check("images", "labels", "--inside", "0") == 0


def test_reads_training_sets(here, capsys):
    made = ["--input-shape", "80", "--output-shape", "48", "--no-augment"]
    words = ["--images", "images", "--labels", "labels", "--out", "set"]
    assert main(["data", "make", *words, *made]) == 0
    assert check("set/test.txt") == 0
    assert check("set/test_000.h5", "--test", "set/test.txt") == 1
    assert "[leak-equal]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["images"],
        ["images", "labels", "labels"],
        ["images", "labels", "--test", "images"],
        ["set/train.txt", "--test", "images", "labels"],
    ],
)
def test_refuses_another_number_of_paths(here, capsys, words):
    assert check(*words) == 1
    assert "expected IMAGES LABELS" in capsys.readouterr().err


def test_finds_what_is_wrong_in_patterns_of_files(here, capsys):
    assert check("images/0[0-2].png", "labels/0[0-2].png") == 0
    assert check("images/0[0-2].png", "labels/*.png") == 1
    assert "[count] labels labels/*.png: 4 for 3 images" in capsys.readouterr().out


def test_help_has_an_example(capsys):
    assert main(["data", "check", "--help"]) == 0
    assert "pyunet data check train/images train/labels" in capsys.readouterr().out


def test_volumes_may_have_slices_without_labels(here):
    labels = LABELS.copy()
    labels[0] = 0
    datasets.write_folder(here / "labels", labels)
    assert check("images", "labels") == 1
    assert check("images", "labels", "--volume") == 0


def test_looks_at_colour_and_classes(here, capsys):
    images, labels = datasets.tissue(4, 96)
    datasets.write_folder(here / "rgb", images)
    datasets.write_folder(here / "classes", labels)
    assert check("rgb", "classes", "--classes", "3") == 0
    assert check("rgb", "classes", "--classes", "2") == 1
    assert "[label-beyond]" in capsys.readouterr().out
    assert np.unique(labels).tolist() == [0, 1, 2]
