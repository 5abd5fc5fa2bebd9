"""Images in, scores out."""

import signal
import stat

import h5py
import numpy as np
import pytest

from pyunet_fiji.backend import files
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.files import check_place, read_images, write_scores
from tests.support.files import names
from tests.support.tiled_nets import geometry

MODEL = geometry((2, 2), (4, 4), (-12, -12))
SCORES = {
    "score": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "also": np.ones((1, 1, 3, 4), np.float32),
}


def put(path, data, name="data", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=data, **options)
    return str(path)


@pytest.mark.parametrize("kind", ["u1", "i2", ">i4", "u8", "f2", "<f4", ">f8", "bool"])
def test_images_of_any_numeric_type_are_read(kind, tmp_path, said):
    data = np.arange(24).reshape(2, 1, 3, 4).astype(kind)
    found = read_images(put(tmp_path / "in.h5", data, chunks=True), MODEL, 0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, data.astype("f4"))
    assert said()[-1].endswith("\tdata blob size: (2,1,3,4)")


@pytest.mark.parametrize(("iterations", "count"), [(0, 3), (1, 1), (2, 2), (50, 3)])
def test_no_more_images_are_read_than_wanted(iterations, count, tmp_path):
    path = put(tmp_path / "in.h5", np.zeros((3, 1, 2, 2)))
    assert len(read_images(path, MODEL, iterations)) == count


def test_the_model_names_the_dataset(tmp_path):
    model = geometry((2, 2), (4, 4), (-12, -12), input_dataset_name="raw")
    path = put(tmp_path / "in.h5", np.ones((1, 1, 2, 2)), "raw")
    assert read_images(path, model, 0).shape == (1, 1, 2, 2)


def test_a_file_that_is_not_there_or_no_hdf5_is_said(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    for path in (tmp_path / "none.h5", text):
        with pytest.raises(CheckFailedError, match=f"Failed to open HDF5 file {path}"):
            read_images(str(path), MODEL, 0)


@pytest.mark.parametrize(
    ("data", "name", "wanted"),
    [
        (np.zeros((1, 1, 2, 2)), "other", "no dataset 'data' .* the file has other"),
        (np.zeros((1, 1, 2, 2), "S3"), "data", "no dataset 'data' of numbers"),
        (np.zeros((1, 1, 2, 2), "c8"), "data", "no dataset 'data' of numbers"),
        (np.zeros((0, 1, 2, 2)), "data", "is empty"),
        (
            np.zeros((1, 1, 2, 2, 2)),
            "data",
            "Model requires 2-D data, but the given input blob is3-D",
        ),
    ],
)
def test_what_is_no_image_for_the_model_is_refused(data, name, wanted, tmp_path):
    with pytest.raises(CheckFailedError, match=wanted):
        read_images(put(tmp_path / "in.h5", data, name), MODEL, 0)


def test_damaged_data_are_one_line(tmp_path):
    path = tmp_path / "in.h5"
    random = np.random.default_rng(0).random((1, 1, 64, 64))
    put(path, random, chunks=(1, 1, 64, 64), compression="gzip", fletcher32=True)
    content = bytearray(path.read_bytes())
    content[-4000:-3000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(CheckFailedError, match="cannot be read") as caught:
        read_images(str(path), MODEL, 0)
    assert "\n" not in str(caught.value)


def test_scores_are_contiguous_float32_datasets_and_nothing_else(tmp_path):
    path = tmp_path / "out.h5"
    write_scores(str(path), SCORES, source="in.h5")
    with h5py.File(path) as file:
        assert list(file) == ["also", "score"]
        for name, wanted in SCORES.items():
            dataset = file[name]
            assert dataset.dtype == np.dtype("<f4")
            assert dataset.chunks is None
            assert dataset.compression is None
            assert not dict(dataset.attrs)
            np.testing.assert_array_equal(dataset[()], wanted)
    assert names(tmp_path) == ["out.h5"]


def test_the_input_is_replaced_with_its_permissions(tmp_path):
    path = tmp_path / "io.h5"
    put(path, np.zeros((1, 1, 3, 4)))
    path.chmod(0o600)
    write_scores(str(path), SCORES, source=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with h5py.File(path) as file:
        assert list(file) == ["also", "score"]


def test_a_link_stays_a_link(tmp_path):
    put(tmp_path / "real.h5", np.zeros(1))
    (tmp_path / "link.h5").symlink_to("real.h5")
    write_scores(str(tmp_path / "link.h5"), SCORES, source="in.h5")
    assert (tmp_path / "link.h5").is_symlink()
    with h5py.File(tmp_path / "real.h5") as file:
        assert "score" in file


def test_a_deleted_input_is_not_made_again(tmp_path):
    path = tmp_path / "io.h5"
    with pytest.raises(CheckFailedError, match="deleted meanwhile"):
        write_scores(str(path), SCORES, source=str(path))
    assert not names(tmp_path)


def test_a_full_disk_leaves_the_input_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "io.h5"
    put(path, np.zeros((1, 1, 3, 4)))
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    with pytest.raises(
        CheckFailedError, match=f"Failed to create or reopen HDF5 file{path}: .*space"
    ):
        write_scores(str(path), SCORES, source=str(path))
    assert path.read_bytes() == before
    assert names(tmp_path) == ["io.h5"]


def test_a_signal_while_writing_takes_everything_back(
    tmp_path, monkeypatch, signals_as_before
):
    # the process would end; here it is noted what is there at that moment
    found = []
    write = h5py.File.create_dataset

    def interrupted(file, *arguments, **options):
        dataset = write(file, *arguments, **options)
        assert len(names(tmp_path)) == 2 - len(found)
        signal.raise_signal(signal.SIGTERM)
        return dataset

    monkeypatch.setattr(h5py.File, "create_dataset", interrupted)
    monkeypatch.setattr(
        "pyunet_fiji.backend.ending.end_by",
        lambda number: found.append((number, path.read_bytes(), names(tmp_path))),
    )
    path = tmp_path / "io.h5"
    path.write_bytes(b"images")
    with pytest.raises(CheckFailedError):
        write_scores(str(path), {"score": SCORES["score"]}, source=str(path))
    assert found == [(signal.SIGTERM, b"images", ["io.h5"])]


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    check_place(str(tmp_path / "new.h5"))
    for path in (tmp_path, tmp_path / "none" / "out.h5"):
        with pytest.raises(CheckFailedError, match="Failed to create or reopen"):
            check_place(str(path))
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(CheckFailedError, match=f"{tmp_path} cannot be written"):
        check_place(str(tmp_path / "new.h5"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_of_which_the_plugin_made_no_numbers_is_a_failed_check(bad, tmp_path):
    data = np.zeros((3, 1, 2, 2), np.float32)
    data[1, 0, 1, 1] = bad
    path = put(tmp_path / "in.h5", data)
    with pytest.raises(CheckFailedError, match="dataset 'data', image 2 of 3 has NaN"):
        read_images(path, MODEL, 0)
    assert len(read_images(path, MODEL, 1)) == 1
