import h5py
import numpy as np
import pytest

from caffe.engine.sources.hdf5 import HDF5Rows, find, read_list
from caffe.errors import FileError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, **datasets):
    with h5py.File(name, "w") as file:
        for key, value in datasets.items():
            file[key] = value


def make_list(text):
    with open("list.txt", "w") as file:
        file.write(text)


@pytest.mark.usefixtures("folder")
class TestReadList:
    def test_names_are_separated_by_any_white_space(self):
        make_list("a.h5 b.h5\n\n\tc.h5\r\n")
        assert read_list("list.txt") == ["a.h5", "b.h5", "c.h5"]

    def test_a_missing_list_is_an_error(self):
        with pytest.raises(FileError, match=r"list.txt: No such file or directory"):
            read_list("list.txt")

    def test_an_empty_list_is_an_error(self):
        make_list(" \n")
        with pytest.raises(FileError, match=r"list.txt: names no file"):
            read_list("list.txt")

    def test_a_file_that_is_no_text_is_an_error(self, folder):
        (folder / "list.txt").write_bytes(b"\x89HDF\xff\xfe")
        with pytest.raises(FileError, match=r"list.txt: not a text file"):
            read_list("list.txt")


class TestFind:
    def test_the_working_directory_comes_first(self, folder):
        (folder / "sub").mkdir()
        (folder / "sub" / "a.h5").touch()
        assert find("a.h5", "sub/list.txt").parent.name == "sub"
        (folder / "a.h5").touch()
        assert find("a.h5", "sub/list.txt").parent.name == ""


@pytest.mark.usefixtures("folder")
class TestHDF5Rows:
    def test_reads_rows_in_any_order(self):
        write("a.h5", x=np.arange(5))
        make_list("a.h5")
        out = np.zeros(3, np.float32)
        HDF5Rows("list.txt", ["x"]).read(0, np.array([4, 0, 2]), [out])
        assert out.tolist() == [4, 0, 2]

    @pytest.mark.parametrize(
        "rows", [[1], [1, 2, 3], [0, 2, 4], [3, 1], [2, 2], [0, 1, 4]]
    )
    def test_reads_the_rows_that_are_wanted(self, rows):
        write("a.h5", x=10 * np.arange(5))
        make_list("a.h5")
        out = np.zeros(len(rows), np.float32)
        HDF5Rows("list.txt", ["x"]).read(0, np.array(rows), [out])
        assert out.tolist() == [10 * row for row in rows]

    @pytest.mark.parametrize(
        ("datasets", "match"),
        [
            (
                {"data": np.zeros((2, 1)), "w": [0]},
                "no dataset 'label': it has data, w",
            ),
            ({}, "no dataset 'data': it has nothing"),
            (
                {"data": np.zeros((2, 1)), "label": np.zeros((3, 1))},
                "rows are 'data' 2, 'label' 3: expected the same number",
            ),
            (
                {"data": np.zeros((0, 1)), "label": np.zeros((0, 1))},
                "rows are 'data' 0, 'label' 0: expected the same number above 0",
            ),
            ({"data": np.zeros(2), "label": 3}, r"'label' holds int64 of shape \(\)"),
            (
                {"data": [b"a", b"b"], "label": [0, 1]},
                "'data' holds .*: expected numbers",
            ),
        ],
    )
    def test_a_file_that_does_not_fit_is_an_error(self, datasets, match):
        write("a.h5", **datasets)
        make_list("a.h5")
        with pytest.raises(FileError, match=f"^a.h5: .*{match}"):
            HDF5Rows("list.txt", ["data", "label"])

    def test_a_group_is_no_dataset(self):
        with h5py.File("a.h5", "w") as file:
            file.create_group("x")
        make_list("a.h5")
        with pytest.raises(FileError, match="no dataset 'x': it has x"):
            HDF5Rows("list.txt", ["x"])

    def test_a_file_of_another_kind_is_an_error(self, folder):
        (folder / "a.h5").write_bytes(b"II*\x00")
        make_list("a.h5")
        with pytest.raises(FileError, match=r"a.h5: not an HDF5 file, or damaged"):
            HDF5Rows("list.txt", ["x"])

    def test_a_file_that_changes_is_an_error(self):
        write("a.h5", x=np.arange(5))
        make_list("a.h5")
        rows = HDF5Rows("list.txt", ["x"])
        write("a.h5", x=np.arange(6))
        with pytest.raises(FileError, match=r"a.h5: changed since the start: .*\(6,\)"):
            rows.open(0)

    def test_a_damaged_dataset_is_an_error(self, folder):
        with h5py.File("a.h5", "w") as file:
            file.create_dataset(
                "x", data=np.arange(1000), chunks=(500,), compression="gzip"
            )
            place = file["x"].id.get_chunk_info(1).byte_offset
        damaged = bytearray((folder / "a.h5").read_bytes())
        damaged[place : place + 20] = bytes(20)
        (folder / "a.h5").write_bytes(damaged)
        make_list("a.h5")
        rows = HDF5Rows("list.txt", ["x"])
        with pytest.raises(FileError, match=r"a.h5: dataset 'x' can't be read"):
            rows.read(0, np.arange(1000), [np.zeros(1000)])
