"""Files that once were too much for a reader, made by hand."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffe.engine.solvers import state
from caffe.engine.sources.hdf5 import HDF5Rows
from caffe.errors import CaffeError, FileError
from caffe.proto import files
from tests.fuzz.corpus import NET, hdf5_image, small_net


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")


def write(tmp_path, fill, libver="earliest"):
    path = tmp_path / "a.h5"
    path.write_bytes(hdf5_image(fill, libver))
    return path


def state_of(**changed):
    """Fill of a solver state with some datasets changed."""

    def fill(file):
        content = {
            "iter": np.array([7], "i4"),
            "current_step": np.array([1], "i4"),
            "learned_net": np.bytes_("a"),
            "history/0": np.ones(3, "f4"),
        }
        for name, value in {**content, **changed}.items():
            if callable(value):
                value(file, name)
            elif value is not None:
                file[name] = value

    return fill


def huge(file, name):
    file.create_dataset(name, shape=(1 << 40, 2), chunks=(1, 2), dtype="f4")


def bomb(file, name):
    file.create_dataset(
        name, shape=(1 << 34,), chunks=(1 << 20,), dtype="f4", compression="gzip"
    )


def outside(file, name):
    file.create_dataset(name, (1 << 30,), "f4", external=[("/dev/zero", 0, 1 << 32)])


ODD_NUMBERS = {
    "huge": huge,
    "bomb": bomb,
    "outside the file": outside,
    "text": np.bytes_("text"),
    "texts": np.array([b"a", b"b"]),
    "compound": np.zeros(2, [("x", "f4"), ("y", "i2")]),
    "nothing": h5py.Empty("f4"),
    "group": lambda file, name: file.create_group(name),
    "type": np.dtype("f4"),
    "cycle": h5py.SoftLink("/history/0"),
    "dangling": h5py.SoftLink("/gone"),
    "other file": h5py.ExternalLink("gone.h5", "/x"),
    "complex": np.zeros(2, "c8"),
    "reference": lambda file, name: file.create_dataset(name, (2,), h5py.ref_dtype),
    "ragged": lambda file, name: file.create_dataset(
        name, (2,), h5py.vlen_dtype(np.float32)
    ),
}


class TestHDF5:
    @pytest.mark.parametrize("odd", ODD_NUMBERS)
    def test_history_that_is_no_array_of_numbers_is_refused(self, odd, tmp_path):
        path = write(tmp_path, state_of(**{"history/0": ODD_NUMBERS[odd]}))
        with pytest.raises(FileError) as caught:
            state.read(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("odd", [*ODD_NUMBERS, "empty", "nan", "large"])
    @pytest.mark.parametrize("name", ["iter", "current_step"])
    def test_iteration_that_is_no_integer_is_refused(self, name, odd, tmp_path):
        more = {"empty": np.zeros(0), "nan": np.array([np.nan]), "large": 1 << 40}
        value = {**ODD_NUMBERS, **more}[odd]
        if odd == "cycle":
            value = h5py.SoftLink(f"/{name}")
        if odd in ("huge", "bomb", "outside the file"):
            return  # the first number is read, and that is 0
        with pytest.raises(FileError):
            state.read(write(tmp_path, state_of(**{name: value})))

    @pytest.mark.parametrize("value", [np.float32(1), np.zeros(0, "S3"), b"\xff"])
    def test_learned_net_that_is_no_text_is_refused(self, value, tmp_path):
        value = np.bytes_(value) if isinstance(value, bytes) else value
        with pytest.raises(FileError):
            state.read(write(tmp_path, state_of(learned_net=value)))

    def test_text_of_gigabytes_is_refused(self, tmp_path):
        def long(file, name):
            file.create_dataset(name, (1,), f"S{1 << 30}", chunks=(1,))

        with pytest.raises(FileError, match="is no text"):
            state.read(write(tmp_path, state_of(learned_net=long)))

    def test_history_that_is_a_dataset_is_refused(self, tmp_path):
        odd = state_of(**{"history/0": None, "history": np.ones(3)})
        with pytest.raises(FileError, match="'history' is no group"):
            state.read(write(tmp_path, odd))

    @pytest.mark.parametrize("odd", ODD_NUMBERS)
    def test_weights_that_are_no_array_of_numbers_are_refused(self, odd, tmp_path):
        def fill(file):
            value = ODD_NUMBERS[odd]
            if odd == "cycle":
                value = h5py.SoftLink("/data/conv/0")
            file["data/conv/1"] = np.zeros(3, "f4")
            if callable(value):
                value(file, "data/conv/0")
            else:
                file["data/conv/0"] = value

        before = small_net().params["conv"][1].data.copy()
        with pytest.raises(CaffeError):
            small_net().load_hdf5(write(tmp_path, fill))
        assert np.array_equal(small_net().params["conv"][1].data, before)

    @pytest.mark.parametrize("name", ["data", "data/conv"])
    @pytest.mark.parametrize("odd", ["huge", "text", "compound", "type"])
    def test_dataset_in_the_place_of_a_group_is_refused(self, name, odd, tmp_path):
        def fill(file):
            value = ODD_NUMBERS[odd]
            if callable(value):
                value(file, name)
            else:
                file[name] = value

        with pytest.raises(FileError, match="no group"):
            small_net().load_hdf5(write(tmp_path, fill))

    def test_group_within_itself_is_no_end_of_the_world(self, tmp_path):
        def fill(file):
            group = file.create_group("data/conv")
            group["conv"] = group
            file["data/data"] = file["data"]

        with pytest.raises(CaffeError, match="number of blobs"):
            small_net().load_hdf5(write(tmp_path, fill))

    def test_doubles_beyond_the_floats_are_infinite(self, tmp_path):
        path = write(tmp_path, state_of(**{"history/0": np.array([1e300])}))
        assert np.isposinf(state.read(path).history[0]).all()

    def test_compressed_history_is_read(self, tmp_path):
        def zeros(file, name):
            file.create_dataset(
                name, data=np.zeros((1 << 21,), "f4"), compression="gzip", shuffle=True
            )

        history = state.read(write(tmp_path, state_of(**{"history/0": zeros}))).history
        assert history[0].shape == (1 << 21,)
        assert not history[0].any()

    @pytest.mark.parametrize("odd", ["texts", "compound", "nothing", "type", "ragged"])
    def test_rows_that_are_no_numbers_are_refused(self, odd, tmp_path):
        def fill(file):
            value = ODD_NUMBERS[odd]
            if callable(value):
                value(file, "data")
            else:
                file["data"] = value

        write(tmp_path, fill)
        (tmp_path / "list.txt").write_text("a.h5")
        with pytest.raises(FileError, match=r"a\.h5"):
            HDF5Rows(str(tmp_path / "list.txt"), ["data"])

    def test_rows_of_a_huge_dataset_are_read_one_by_one(self, tmp_path):
        write(tmp_path, lambda file: huge(file, "data"))
        (tmp_path / "list.txt").write_text("a.h5")
        rows = HDF5Rows(str(tmp_path / "list.txt"), ["data"])
        out = np.ones((2, 2), "f4")
        rows.read(0, np.array([5, 1 << 39]), [out])
        rows.close()
        assert not out.any()


class TestNames:
    @pytest.mark.parametrize("name", ["a\0b", "a" * 5000, "/dev/null/x"])
    @pytest.mark.parametrize(
        "read", [files.read_net, files.read_solver, files.read_net_binary, state.read]
    )
    def test_impossible_names_of_files_are_errors(self, name, read):
        with pytest.raises(FileError):
            read(name)

    @pytest.mark.parametrize("prefix", ["a" * 5000, "a\\000b"])
    def test_an_impossible_snapshot_prefix_does_not_stop_reading(
        self, prefix, tmp_path
    ):
        path = tmp_path / "solver.prototxt"
        path.write_text(f'net_param {{ {NET} }} snapshot_prefix: "{prefix}"')
        assert len(files.read_solver(path).snapshot_prefix) > 2
