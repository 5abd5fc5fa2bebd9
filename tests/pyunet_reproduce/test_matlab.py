import numpy as np
import pytest
from scipy import io

from pyunet.errors import DataError
from pyunet_reproduce.matlab import read_matlab

KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
OF_VERSION_4 = ("u1", "u2", "i2", "i4", "f4", "f8")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(kind, {}) for kind in KINDS]
    + [(kind, {"do_compression": True}) for kind in KINDS]
    + [(kind, {"format": "4"}) for kind in OF_VERSION_4],
)
def test_arrays_are_those_that_scipy_wrote(tmp_path, kind, settings):
    array = (np.arange(15 * 20) % 120).reshape(15, 20).astype(kind)
    wanted = {"inst_map": array, "x": array[:1, :1], "name": "a text", "cells": [{}]}
    if settings.get("format") == "4":
        wanted = {"inst_map": array, "x": array[:1, :1]}
    io.savemat(tmp_path / "a.mat", wanted, **settings)
    found = read_matlab(tmp_path / "a.mat")
    np.testing.assert_array_equal(found["inst_map"], array)
    np.testing.assert_array_equal(found["x"], array[:1, :1])
    assert found["inst_map"].dtype == array.dtype


def test_volumes_keep_their_axes(tmp_path):
    volume = np.arange(24.0).reshape(2, 3, 4)
    io.savemat(tmp_path / "a.mat", {"v": volume})
    np.testing.assert_array_equal(read_matlab(tmp_path / "a.mat")["v"], volume)


def test_what_is_no_such_file_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\0\2IM" + bytes(600))
    with pytest.raises(DataError, match=r"a\.mat: .* version 7\.3"):
        read_matlab(path)
    path.write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(DataError, match=r"a\.mat: is not a MATLAB file"):
        read_matlab(path)
