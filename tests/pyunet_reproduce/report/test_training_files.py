"""What is said of HDF5 training files, ours and others'."""

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_reproduce.report.training_files import (
    describe_training_set,
    read_weight_example,
)


def write(path, label, *, arguments="{}", **datasets):
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(np.prod(label.shape), dtype=np.float32).reshape(
            label.shape
        )
        file["label"] = label
        for name, values in datasets.items():
            file[name] = values
        file.attrs["arguments"] = arguments
    path.with_suffix(".txt").write_text(f"{path}\n{path}\n")
    return path.with_suffix(".txt")


def test_counts_files_tiles_and_pixels_of_classes(tmp_path):
    label = np.zeros((4, 1, 2, 5), np.uint8)
    label[0, 0, 0, :4] = 2
    rows = dict(describe_training_set(write(tmp_path / "a.h5", label, weights=label)))
    assert rows["files"] == "2"
    assert rows["tiles"] == "8"
    assert rows["label"] == "1 x 2 x 5 a tile, uint8"
    shares = rows["pixels of each class (first 64 tiles at most)"]
    assert shares == "0: 90.0 %, 1: 0.0 %, 2: 10.0 %"


@pytest.mark.parametrize("arguments", ["not JSON", "[1]"])
def test_files_of_others_are_described_by_their_shapes(tmp_path, arguments):
    label = np.zeros((1, 1, 2, 2), np.uint8)
    rows = describe_training_set(
        write(tmp_path / "a.h5", label, arguments=arguments)
    )  # no weights
    assert [name for name, _ in rows] == ["list", "files", "tiles", "data", "label"]


def test_a_volume_is_shown_by_its_middle(tmp_path):
    label = np.arange(5 * 4).reshape(1, 1, 5, 2, 2)
    example = read_weight_example(write(tmp_path / "a.h5", label, weights=label * 2))
    assert example.image.tolist() == [[[8, 9], [10, 11]]]
    assert example.labels.tolist() == [[8, 9], [10, 11]]
    assert example.weights.tolist() == [[16, 18], [20, 22]]


def test_refuses_files_without_a_tile(tmp_path):
    label = np.zeros((0, 1, 2, 2), np.uint8)
    with pytest.raises(DataError, match="hold no tile"):
        read_weight_example(write(tmp_path / "a.h5", label, weights=label))
