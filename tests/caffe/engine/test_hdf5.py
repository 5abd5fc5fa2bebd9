import h5py
import numpy as np
import pytest

from caffe.engine import hdf5
from caffe.errors import FileError


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["variable"] = "grün"
        file["list"] = np.array([b"first", b"second"])
        file["whole"] = np.arange(3)
        file["real"] = np.zeros(3)
        hdf5.write_text(file, "fixed", "grün")
    return tmp_path / "a.h5"


@pytest.mark.parametrize(
    ("name", "wanted"), [("variable", "grün"), ("list", "first"), ("fixed", "grün")]
)
def test_texts_of_all_kinds_are_read(path, name, wanted):
    with hdf5.opened(path) as file:
        assert hdf5.read_text(file, name) == wanted


def test_a_text_is_written_with_fixed_length_and_terminator(path):
    with hdf5.opened(path) as file:
        kind = file["fixed"].id.get_type()
        assert (kind.get_size(), kind.get_strpad()) == (6, h5py.h5t.STR_NULLTERM)


def test_the_class_of_numbers_is_logged_once_each(path, monkeypatch, capsys):
    monkeypatch.setattr(hdf5, "_announced", set())
    with hdf5.opened(path) as file:
        for name in ("real", "whole", "real", "whole"):
            hdf5.note_class(file[name])
    found = [line.partition("hdf5")[2] for line in capsys.readouterr().err.splitlines()]
    assert found == [
        ".cpp:35] Datatype class: H5T_FLOAT",
        ".cpp:38] Datatype class: H5T_INTEGER",
    ]


def test_what_is_not_there_is_named_with_its_file(path):
    with pytest.raises(FileError, match=r"a\.h5: .*'gone'"), hdf5.opened(path) as file:
        _ = file["gone"]


def test_what_is_no_hdf5_is_named(tmp_path):
    (tmp_path / "b.h5").write_bytes(b"text")
    with (
        pytest.raises(FileError, match=r"b\.h5: not a whole HDF5 file"),
        hdf5.opened(tmp_path / "b.h5"),
    ):
        pass
