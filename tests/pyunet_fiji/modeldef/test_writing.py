import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_fiji.modeldef.writing import write_datasets


def test_types_follow_from_values(tmp_path):
    values = {
        "/a/text": "µ",
        "/a/texts": ("ab", "", "µm"),
        "/whole": 3,
        "/fractions": (0.5, 1.5),
        "/numpy": np.float32(0.1),
        "/matrix": ((1, 2), (3, 4)),
    }
    write_datasets(tmp_path / "a.h5", values)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a/text"][()] == "µ".encode()
        assert file["a/texts"].asstr()[:].tolist() == ["ab", "", "µm"]
        assert file["a/texts"].dtype.itemsize == 3
        kinds = {name: file[name].dtype.str for name in list(values)[2:]}
        assert kinds == {
            "/whole": "<i4",
            "/fractions": "<f8",
            "/numpy": "<f4",
            "/matrix": "<i4",
        }
        assert file["matrix"][:].tolist() == [[1, 2], [3, 4]]


def test_one_place_cannot_hold_two_things(tmp_path):
    with pytest.raises(DataError, match="/a/b: cannot be stored"):
        write_datasets(tmp_path / "a.h5", {"/a": 1, "/a/b": 2})
    assert not list(tmp_path.iterdir())
