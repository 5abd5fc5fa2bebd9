"""raw_results.h5: whole or not there, and made again only where it must be."""

import h5py
import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_tracking.raw_results import RawResults

SHAPE = (2, 3, 4)


def scores(index):
    return np.random.default_rng(index).normal(size=SHAPE).astype(np.float32)


def begin(folder, key="key", shape=SHAPE):
    return RawResults(folder, key, frames=3, shape=shape)


def complete(folder, **settings):
    results = begin(folder, **settings)
    for index in results.missing():
        results.add(index, scores(index))
    results.finish("scores")
    return results


def test_the_file_holds_scores_and_labels_frame_by_frame(tmp_path):
    complete(tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["raw_results.h5"]
    expected = np.stack([scores(index) for index in range(3)])
    with h5py.File(tmp_path / "new" / "raw_results.h5") as file:
        assert sorted(file) == ["labels", "scores"]
        assert file["scores"].dtype == np.float32
        assert file["labels"].dtype == np.uint8
        np.testing.assert_array_equal(file["scores"], expected)
        np.testing.assert_array_equal(file["labels"], expected.argmax(axis=1))


def test_before_the_last_frame_there_is_no_file_but_nothing_is_lost(tmp_path):
    results = begin(tmp_path)
    results.add(1, scores(1))
    assert not results.path.exists()
    assert begin(tmp_path).missing() == [0, 2]


def test_a_whole_file_is_not_made_again(tmp_path):
    before = complete(tmp_path).path.stat().st_mtime_ns
    again = begin(tmp_path)
    assert again.missing() == []
    again.finish("scores")
    assert again.path.stat().st_mtime_ns == before
    labels = [frame.tolist() for frame in again.labels()]
    assert labels == [scores(index).argmax(axis=0).tolist() for index in range(3)]


def test_scores_of_another_key_are_made_anew(tmp_path):
    complete(tmp_path)
    begin(tmp_path, "second").add(0, scores(0))
    assert begin(tmp_path, "third").missing() == [0, 1, 2]
    assert begin(tmp_path, "second").missing() == [0, 1, 2]


def test_a_damaged_frame_is_made_again(tmp_path):
    results = begin(tmp_path)
    for index in range(3):
        results.add(index, scores(index))
    part = next(tmp_path.rglob("000001.npy"))
    part.write_bytes(part.read_bytes()[:90])
    assert results.missing() == [1]


def test_a_file_that_is_no_hdf5_is_replaced(tmp_path):
    (tmp_path / "raw_results.h5").write_text("text")
    assert complete(tmp_path).is_whole


@pytest.mark.parametrize(("values", "limit"), [("scores", 0), ("probabilities", 0.5)])
def test_a_single_class_is_decided_by_what_the_net_gives(tmp_path, values, limit):
    results = RawResults(tmp_path, "key", frames=1, shape=(1, 2, 2))
    given = np.array([[[-1, 0.2], [0.6, 2]]], np.float32)
    results.add(0, given)
    results.finish(values)
    np.testing.assert_array_equal(next(results.labels()), given[0] > limit)


def test_more_classes_than_8_bits_are_refused(tmp_path):
    with pytest.raises(DataError, match="257 classes: the labels of"):
        begin(tmp_path, shape=(257, 3, 4))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: cannot be written"):
        begin(tmp_path / "file")
