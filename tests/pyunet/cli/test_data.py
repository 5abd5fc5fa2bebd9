import json

import h5py
import numpy as np
import pytest
import tifffile

from pyunet.cli import main
from pyunet.data.hdf5 import read_training_set
from tests.support import datasets

CELL = np.pad(np.full((9, 9), 255, np.uint8), ((1, 0), (1, 0)))
LABELS = np.tile(CELL, (3, 6, 6))
SMALL = ["--input-shape", "48", "--output-shape", "36,40"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a stack of images and its labels."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 60, LABELS.shape, dtype="u1")
    tifffile.imwrite("images.tif", LABELS // 2 + noise, photometric="minisblack")
    tifffile.imwrite("labels.tif", LABELS, photometric="minisblack")
    return tmp_path


def make(*words):
    return main(
        ["data", "make", "--images", "images.tif", "--labels", "labels.tif",
         "--out", "set", *SMALL, *words]
    )  # fmt: skip


def refusal(capsys, *words):
    assert make(*words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


class TestMake:
    def test_makes_augmented_samples_and_says_what_it_understood(self, here, capsys):
        assert make("--samples", "5", "--samples-per-file", "2") == 0
        said = capsys.readouterr().out
        assert "labels.tif: masks, 255 is the inside of cells (class 1, 81.0 %" in said
        assert "class weights 0: 4.26, 1: 1; 5 tiles of 3 slices" in said
        assert "set/train.txt: 3 file(s)" in said
        samples = list(read_training_set("set/train.txt"))
        assert [s.data.shape for s in samples] == [(1, 48, 48)] * 5
        assert samples[0].label.shape == samples[0].weights.shape == (1, 36, 40)

    def test_makes_plain_tiles_of_some_slices(self, here):
        assert make("--no-augment", "--slices", "1:3") == 0
        samples = list(read_training_set("set/test.txt"))
        assert len(samples) == 2 * 2 * 2
        np.testing.assert_array_equal(samples[0].label[0], LABELS[1, :36, :40] > 0)

    def test_records_how_the_set_was_made(self, here):
        make("--samples", "1", "--seed", "7", "--class-weights", "2,1", "--name", "a")
        with h5py.File("set/a_000.h5") as file:
            arguments = json.loads(file.attrs["arguments"])
        assert arguments["seed"] == 7
        assert arguments["class_weights"] == [2.0, 1.0]
        assert arguments["images"] == "images.tif"

    def test_turns_everything_off_by_flags(self, here):
        off = ["--elastic-std", "0", "--no-rotate", "--no-mirror", "--no-shift"]
        make("--samples", "4", *off, "--no-grey", "--border-weight", "0",
             "--class-weights", "none")  # fmt: skip
        make("--no-augment")
        plain = np.stack([s.data for s in read_training_set("set/test.txt")])
        for data, _, weights in read_training_set("set/train.txt"):
            apart = np.abs(plain.astype(float) - data).max(axis=(1, 2, 3))
            assert apart.min() < 2e-3
            assert (weights == 1).all()

    def test_stores_bytes_and_says_their_range(self, here, capsys):
        assert make("--no-augment", "--dtype", "uint8") == 0
        assert "grey values 0..255" in capsys.readouterr().out
        first = next(iter(read_training_set("set/test.txt")))
        expected = tifffile.imread("images.tif")[0]
        np.testing.assert_array_equal(first.data[0, 6:42, 4:44], expected[:36, :40])

    def test_takes_the_polarity_it_is_told(self, here):
        make("--no-augment", "--inside", "0")
        first = next(iter(read_training_set("set/test.txt")))
        np.testing.assert_array_equal(first.label[0], LABELS[0, :36, :40] == 0)

    def test_makes_whole_images(self, here, capsys):
        assert make("--whole") == 0
        samples = list(read_training_set("set/train.txt"))
        assert [s.data.shape for s in samples] == [(1, 60, 60)] * 3
        for sample, image in zip(samples, tifffile.imread("images.tif"), strict=True):
            np.testing.assert_allclose(sample.data[0], image / 255, atol=1e-3)

    def test_bends_as_freiburgs_layer(self, here):
        words = ["--samples", "2", "--elastic-std", "3,3", "--elastic-spacing", "20"]
        assert make(*words, "--field", "freiburg", "--name", "a") == 0
        assert make(*words, "--field", "paper", "--name", "b") == 0
        one, other = (next(read_training_set(f"set/{name}.txt")) for name in "ab")
        assert (one.data != other.data).any()

    def test_makes_tiles_of_volumes(self, here, capsys):
        depth = ["--volume", "--input-shape", "3,48,48", "--output-shape", "1,36,40"]
        assert make("--samples", "2", *depth, "--elastic-std", "0.5,4,4") == 0
        assert "2 tiles of 1 volume(s)" in capsys.readouterr().out
        for sample in read_training_set("set/train.txt"):
            assert sample.data.shape == (1, 3, 48, 48)
            assert sample.label.shape == sample.weights.shape == (1, 1, 36, 40)
        assert make("--no-augment", *depth, "--slices", "1:3") == 0
        first = next(read_training_set("set/test.txt"))
        np.testing.assert_array_equal(first.label[0, 0], LABELS[1, :36, :40] > 0)

    def test_keeps_colour_and_classes(self, here):
        images, labels = datasets.tissue(2, 64)
        datasets.write_folder(here / "rgb", images)
        datasets.write_folder(here / "classes", labels)
        files = ["--images", "rgb", "--labels", "classes", "--no-augment"]
        assert make(*files) == 0
        first = next(read_training_set("set/test.txt"))
        assert first.data.shape == (3, 48, 48)
        np.testing.assert_array_equal(first.label[0], labels[0, :36, :40])


class TestRefuses:
    def test_labels_that_do_not_match(self, here, capsys):
        tifffile.imwrite("labels.tif", LABELS[:2], photometric="minisblack")
        error = refusal(capsys)
        assert error.startswith("pyunet data make: labels.tif: 2 labels of 60 x 60")
        assert "images.tif: 3 images" in error
        assert not (here / "set").exists()

    def test_an_empty_folder(self, here, capsys):
        (here / "empty").mkdir()
        assert "empty: the folder has no TIFF" in refusal(capsys, "--images", "empty")

    def test_a_file_that_is_no_image(self, here, capsys):
        (here / "labels.tif").write_text("hello")
        assert "labels.tif: is no TIFF image" in refusal(capsys)

    def test_a_constant_label(self, here, capsys):
        tifffile.imwrite("labels.tif", 0 * LABELS, photometric="minisblack")
        assert "labels.tif: every pixel is 0" in refusal(capsys)

    def test_slices_that_are_not_there(self, here, capsys):
        assert "slices 1:9 of a stack that has" in refusal(capsys, "--slices", "1:9")

    def test_class_weights_of_another_number(self, here, capsys):
        error = refusal(capsys, "--class-weights", "1,2,3")
        assert "class weights 1.0, 2.0, 3.0: the labels have 2 classes" in error

    def test_white_space_in_the_output(self, here, capsys):
        assert "white space" in refusal(capsys, "--out", "my set")
        assert not (here / "my set").exists()

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--slices", "3"),
            ("--slices", "5:2"),
            ("--slices", "a:b"),
            ("--input-shape", "5x5"),
            ("--input-shape", "1,2,3,4"),
            ("--class-weights", "some"),
            ("--elastic-std", "a"),
            ("--elastic-spacing", "1.5"),
            ("--field", "other"),
        ],
    )
    def test_a_value_that_cannot_be_read(self, here, capsys, option, value):
        assert make(option, value) == 2
        assert f"argument {option}" in capsys.readouterr().err


def test_synthetic_writes_a_stack_that_make_reads(here, capsys):
    words = ["--slices", "2", "--size", "96", "--seed", "3"]
    assert main(["data", "synthetic", "--out", "syn", *words]) == 0
    assert capsys.readouterr().out.split() == ["syn/images.tif", "syn/labels.tif"]
    files = ["--images", "syn/images.tif", "--labels", "syn/labels.tif"]
    assert make(*files, "--samples", "2") == 0


@pytest.mark.parametrize("kind", ["cells", "dic"])
def test_synthetic_cells_are_understood_as_instances(here, capsys, kind):
    words = ["--kind", kind, "--slices", "2", "--size", "96", "--seed", "3"]
    assert main(["data", "synthetic", "--out", "syn", *words]) == 0
    files = ["--images", "syn/images.tif", "--labels", "syn/labels.tif"]
    assert make(*files, "--samples", "2", "--labels-are", "instances") == 0
    assert "cells" in capsys.readouterr().out


def test_synthetic_knows_the_kinds_of_cells(capsys):
    from pyunet_synthetic.cells import KINDS

    assert main(["data", "synthetic", "--help"]) == 0
    assert f"{{membranes,cells,{','.join(KINDS)}}}" in "".join(
        capsys.readouterr().out.split()
    )


def test_help_has_an_example(capsys):
    assert main(["data", "make", "--help"]) == 0
    assert "pyunet data make --images train-volume.tif" in capsys.readouterr().out
