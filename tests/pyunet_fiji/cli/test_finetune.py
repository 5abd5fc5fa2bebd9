"""``pyunet finetune`` as people type it."""

import sys

import numpy as np
import pytest
import tifffile

from pyunet.cli import main
from pyunet_fiji.finetuning import running
from pyunet_fiji.modeldef import read_modeldef, write_modeldef
from tests.support import fake_caffe, modeldefs

CELLS = 4


@pytest.fixture
def data(tmp_path):
    """A model, weights, and three images of bright disks with their masks."""
    model = modeldefs.definition()
    write_modeldef(tmp_path / "m.modeldef.h5", model)
    modeldefs.random_weights(tmp_path / "m.caffemodel.h5", model)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :56]
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        labels = np.zeros(y.shape, np.uint8)
        for _ in range(CELLS):
            row, column = rng.integers(8, 40), rng.integers(8, 48)
            labels[(y - row) ** 2 + (x - column) ** 2 < 36] = 1
        image = labels * 120 + rng.normal(60, 10, y.shape)
        tifffile.imwrite(
            tmp_path / "images" / f"{number}.tif", image.clip(0, 255).astype(np.uint8)
        )
        tifffile.imwrite(tmp_path / "labels" / f"{number}.tif", labels)
    return tmp_path


@pytest.fixture
def fake(monkeypatch):
    """Choose what a fake in place of caffe does."""

    def choose(behaviour="well"):
        words = [sys.executable, "-c", fake_caffe.START, behaviour]
        monkeypatch.setattr(running, "caffe_command", lambda: words)

    return choose


def call(data, *words, labels=True, weights=("--weights", "m.caffemodel.h5")):
    flag, *file = weights
    return main([
        "finetune", "--model", str(data / "m.modeldef.h5"),
        flag, *(str(data / name) for name in file),
        "--images", str(data / "images"), "--out", str(data / "mine"),
        *(["--labels", str(data / "labels")] if labels else []),
        "--tile", "60", *words,
    ])  # fmt: skip


def refused(capsys, *words, **settings):
    assert call(*words, **settings) == 1
    said = capsys.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("pyunet finetune: ")
    assert "Traceback" not in said.err
    return last


def test_what_was_finetuned_segments_better_than_before(data, capsys):
    words = ("--validation-share", "0.3", "--iterations", "60", "--rate", "0.003")
    assert call(data, *words, "--validation-interval", "20", "--classes", "disk") == 0
    said = capsys.readouterr()
    assert "mine.caffemodel.h5: 60 iterations; with" in said.out
    assert "best validation, after" in said.out
    assert "disk IoU 0." in said.out
    assert "labels: 0 is taken as background, objects start at 1" in said.err
    made = read_modeldef(data / "mine" / "mine.modeldef.h5")
    assert made.class_names == ("Background", "disk")
    ious = {}
    for name, folder in (("m", data), ("mine", data / "mine")):
        out = data / f"out_{name}"
        assert main([
            "segment", "--model", str(folder / f"{name}.modeldef.h5"),
            "--weights", str(folder / f"{name}.caffemodel.h5"),
            "--out", str(out), str(data / "images" / "0.tif"),
        ]) == 0  # fmt: skip
        found = tifffile.imread(out / "0_labels.tif") > 0
        true = tifffile.imread(data / "labels" / "0.tif") > 0
        ious[name] = (found & true).sum() / (found | true).sum()
    assert ious["mine"] > max(0.5, ious["m"])


@pytest.mark.slow
def test_a_stop_is_said_and_the_same_command_goes_on(data, fake, capsys):
    fake("SIGINT")
    words = ("--iterations", "10", "--validation-interval", "2")
    assert call(data, *words) == 130
    said = capsys.readouterr()
    assert said.err.strip().splitlines()[-1] == (
        "pyunet finetune: stopped after 6 of 10 iterations; the same command goes on "
        "there"
    )
    fake()
    assert call(data, *words) == 0
    assert (data / "mine" / "mine.caffemodel.h5").is_file()


@pytest.mark.slow
def test_images_to_validate_on_may_be_named(data, fake):
    fake()
    valid = ("--valid-images", str(data / "images" / "2.tif"))
    labels = ("--valid-labels", str(data / "labels" / "2.tif"))
    scratch = {"weights": ("--from-scratch",)}
    assert call(data, "--iterations", "5", *valid, *labels, **scratch) == 0
    assert "-weights" not in (data / "mine" / "train.log").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tile", "61"), "the nearest are 60x60 and 64x64"),
        (("--iterations", "0"), "iterations 0: accepted"),
        (("--validation-share", "2"), "share 2 for validation"),
        (("--valid-labels", "x"), "--valid-labels: goes with --valid-images"),
        (
            ("--valid-images", "x", "--validation-share", "0.5"),
            "--validation-share: does not go with --valid-images",
        ),
        (("--classes", "cell", "--zero-is", "ignore"), "objects start at 2"),
    ],
)
def test_what_cannot_be_done_is_one_line(data, capsys, words, said):
    assert said in refused(capsys, data, *words)


def test_missing_files_are_one_line(data, capsys):
    line = refused(capsys, data, weights=("--weights", "none.h5"))
    assert line.endswith("none.h5: no such file; the model's weights are wanted")
    (data / "labels" / "2.tif").unlink()
    assert "3 images, but 2 labels" in refused(capsys, data)


def test_images_without_rois_want_labels(data, capsys):
    assert "has no overlay with ROIs" in refused(capsys, data, labels=False)


@pytest.mark.parametrize(
    "words",
    [("--classes", "a,a"), ("--classes", "a,"), ("--tile", "0"), ("--tile", "ax3")],
)
def test_words_that_are_none_are_refused_before_anything_else(data, capsys, words):
    assert call(data, *words) == 2
    assert f"argument {words[0]}" in capsys.readouterr().err
