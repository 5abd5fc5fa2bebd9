"""Mistakes in HDF5 training sets."""

import h5py
import numpy as np
import pytest

from pyunet_checks.folders import Expected
from pyunet_checks.hdf5 import check_training_set
from tests.support import datasets

IMAGES, LABELS = datasets.em(6, 128)
TILES = {
    "data": (IMAGES[:, None] / 255).astype(np.float32),
    "label": (LABELS[:, None, 12:-12, 12:-12] // 255).astype(np.uint8),
}
TILES["weights"] = 1 + (TILES["label"] == 0).astype(np.float32)
MISTAKES = []


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory, so that lists hold short relative paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, **changes):
    with h5py.File(path, "w") as file:
        for name, values in {**TILES, **changes}.items():
            if values is not None:
                file[name] = values
    return path


def kinds(path, **options):
    return {finding.kind for finding in check_training_set(path, **options)}


def mistake(kind):
    """Note a function that gives datasets that are wrong."""

    def note(spoil):
        MISTAKES.append(pytest.param(kind, spoil, id=spoil.__name__))
        return spoil

    return note


@mistake("no-dataset")
def without_labels():
    return {"label": None}


@mistake("no-dataset")
def with_other_names():
    return {"data": None, "images": TILES["data"]}


@mistake("dtype")
def with_text():
    return {"data": np.array([b"x"] * 6)}


@mistake("dtype")
def of_complex_numbers():
    return {"data": TILES["data"].astype(np.complex64)}


@mistake("rows")
def with_fewer_labels():
    return {"label": TILES["label"][1:]}


@mistake("rows")
def without_rows():
    return {name: values[:0] for name, values in TILES.items()}


@mistake("rank")
def without_a_channel_axis():
    return {"data": TILES["data"][:, 0]}


@mistake("axes")
def with_channels_last():
    return {"data": np.moveaxis(TILES["data"], 1, -1)}


@mistake("tile-shapes")
def with_labels_larger_than_data():
    return {"label": np.ones((6, 1, 140, 140), np.uint8), "weights": None}


@mistake("tile-shapes")
def with_an_odd_difference():
    return {"label": TILES["label"][..., 1:], "weights": None}


@mistake("tile-shapes")
def with_one_hot_labels():
    return {"label": np.concatenate([TILES["label"], 1 - TILES["label"]], 1)}


@mistake("tile-shapes")
def with_weights_of_another_size():
    return {"weights": TILES["weights"][..., 2:-2]}


@mistake("label-beyond")
def with_labels_of_255():
    return {"label": TILES["label"] * 255}


@mistake("label-fractions")
def with_fractions_as_labels():
    return {"label": TILES["label"] * 0.5}


@mistake("label-constant")
def with_constant_labels():
    return {"label": 0 * TILES["label"]}


@mistake("not-finite")
def with_nan():
    return {"data": np.where(TILES["data"] > 0.9, np.nan, TILES["data"])}


@mistake("range")
def with_greys_up_to_255():
    return {"data": TILES["data"] * 255}


@mistake("weights-zero")
def with_weights_of_0():
    return {"weights": 0 * TILES["weights"]}


@mistake("weights-negative")
def with_negative_weights():
    return {"weights": TILES["weights"] - 1.5}


@mistake("label-shifted")
def with_shifted_labels():
    return {"label": np.roll(TILES["label"], 8, -1), "weights": None}


@mistake("label-turned")
def with_transposed_labels():
    return {"label": TILES["label"].swapaxes(-1, -2), "weights": None}


@mistake("constant-image")
def with_a_black_tile():
    black = TILES["data"].copy()
    black[3] = 0
    return {"data": black}


@mistake("inverted-image")
def with_an_inverted_tile():
    data = TILES["data"].copy()
    data[2] = 1 - data[2]
    return {"data": data}


@mistake("duplicate")
def with_a_tile_twice():
    return {name: values[[0, 1, 2, 3, 1]] for name, values in TILES.items()}


@pytest.mark.parametrize(("kind", "spoil"), MISTAKES)
def test_mistake_is_found(kind, spoil, here):
    assert kind in kinds(write(here / "train.h5", **spoil()))


class TestClean:
    def test_file_gives_no_complaint(self, here):
        assert kinds(write(here / "train.h5")) == set()

    def test_list_gives_no_complaint(self, here):
        for number in range(2):
            half = {k: v[3 * number : 3 * number + 3] for k, v in TILES.items()}
            write(here / f"{number}.h5", **half)
        (here / "train.txt").write_text("0.h5\n1.h5\n")
        assert kinds(here / "train.txt") == set()

    def test_bytes_without_weights_give_no_complaint(self, here):
        data = np.rint(TILES["data"] * 255).astype(np.uint8)
        assert kinds(write(here / "a.h5", data=data, weights=None)) == set()

    def test_labels_without_a_channel_axis_give_no_complaint(self, here):
        label, weights = TILES["label"][:, 0], TILES["weights"][:, 0]
        assert kinds(write(here / "a.h5", label=label, weights=weights)) == set()

    def test_volumes_give_no_complaint(self, here):
        images, labels = datasets.synthetic_stack(10, 96, rng=2)
        volumes = {
            "data": (images.reshape(2, 1, 5, 96, 96) / 255).astype(np.float32),
            "label": labels.reshape(2, 1, 5, 96, 96)[:, :, 1:4] // 255,
            "weights": None,
        }
        assert kinds(write(here / "v.h5", **volumes)) == set()


class TestLists:
    def test_naming_files_that_are_not_there_are_found(self, here):
        write(here / "a.h5")
        (here / "train.txt").write_text("a.h5\ngone.h5\n")
        assert kinds(here / "train.txt") == {"list-path"}

    def test_for_another_working_directory_are_found(self, here):
        (here / "set").mkdir()
        write(here / "set" / "a.h5")
        (here / "set" / "train.txt").write_text("a.h5\n")
        (finding,) = check_training_set(here / "set" / "train.txt")
        assert finding.kind == "list-path"
        assert "set/a.h5 is" in finding.what

    def test_without_names_are_found(self, here):
        (here / "train.txt").write_text("\n")
        assert kinds(here / "train.txt") == {"list-empty"}

    def test_that_are_not_there_are_found(self, here):
        assert kinds(here / "train.txt") == {"missing"}

    def test_naming_other_files_are_found(self, here):
        (here / "a.h5").write_text("hello")
        (here / "train.txt").write_text("a.h5\n")
        assert kinds(here / "train.txt") == {"no-hdf5"}
        assert kinds(here / "a.h5") == {"no-hdf5"}

    def test_of_bytes_are_found(self, here):
        (here / "a.txt").write_bytes(b"\xff\xfe\x00")
        assert kinds(here / "a.txt") == {"no-hdf5"}

    def test_of_damaged_files_are_found(self, here):
        whole = write(here / "a.h5").read_bytes()
        (here / "a.h5").write_bytes(whole[: len(whole) // 2])
        assert kinds(here / "a.h5") == {"no-hdf5"}

    def test_of_files_of_different_shapes_are_found(self, here):
        write(here / "a.h5")
        smaller = {name: values[..., 4:-4] for name, values in TILES.items()}
        write(here / "b.h5", **smaller)
        (here / "train.txt").write_text("a.h5\nb.h5\n")
        assert "file-shapes" in kinds(here / "train.txt")

    def test_of_files_of_different_scales_are_found(self, here):
        write(here / "a.h5")
        write(here / "b.h5", data=TILES["data"][::-1] * 255)
        (here / "train.txt").write_text("a.h5\nb.h5\n")
        assert "scale" in kinds(here / "train.txt")


class TestTestSets:
    def test_that_repeat_training_tiles_are_found(self, here):
        half = {name: values[:3] for name, values in TILES.items()}
        train = write(here / "a.h5", **half)
        test = write(here / "b.h5", **{k: v[2:] for k, v in TILES.items()})
        assert kinds(train, test=test) == {"leak-equal"}

    def test_that_are_new_give_no_complaint(self, here):
        train = write(here / "a.h5", **{k: v[:3] for k, v in TILES.items()})
        test = write(here / "b.h5", **{k: v[3:] for k, v in TILES.items()})
        assert kinds(train, test=test) == set()


def test_classes_beyond_those_of_the_net_are_found(here):
    label = TILES["label"] + (TILES["data"][..., 12:-12, 12:-12] > 0.8)
    path = write(here / "a.h5", label=label.astype(np.uint8), weights=None)
    assert "label-beyond" in kinds(path, expected=Expected(classes=2))
