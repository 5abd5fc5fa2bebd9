import numpy as np
import pytest

from caffe import io
from caffe.engine.sources.databases import (
    image_of,
    new_database,
    open_database,
    parse_datum,
    shown,
)
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2


def quiet(source, text):
    pass


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
class TestNewDatabase:
    def test_is_read_as_it_was_written(self, tmp_path, backend):
        pytest.importorskip("plyvel")
        path, lines = str(tmp_path / "db"), []
        with new_database(backend, path, lambda *line: lines.append(line)) as writer:
            writer.write([(b"a", b"1"), (b"b", b"2")])
        database = open_database(backend, path, lambda *line: lines.append(line))
        assert [(k, v()) for k, v in database.records()] == [(b"a", b"1"), (b"b", b"2")]
        source = {"lmdb": "db_lmdb.cpp:35", "leveldb": "db_leveldb.cpp:18"}[backend]
        assert lines == [(source, f"Opened {backend} {path}")] * 2

    def test_is_not_there_when_something_goes_wrong(self, tmp_path, backend):
        pytest.importorskip("plyvel")
        with (
            pytest.raises(AttributeError),
            new_database(backend, str(tmp_path / "db"), quiet) as writer,
        ):
            writer.write([(b"a", b"1"), (b"b", b"1".nonsense)])
        assert list(tmp_path.iterdir()) == []

    def test_does_not_touch_what_is_there(self, tmp_path, backend):
        (tmp_path / "db").mkdir()
        with (
            pytest.raises(FileError, match="db: is there already: give a name"),
            new_database(backend, str(tmp_path / "db"), quiet),
        ):
            pass
        assert [p.name for p in tmp_path.iterdir()] == ["db"]

    def test_wants_a_folder_to_stand_in(self, tmp_path, backend):
        with (
            pytest.raises(FileError, match="db: cannot be written: No such file"),
            new_database(backend, str(tmp_path / "nowhere" / "db"), quiet),
        ):
            pass


def test_an_unknown_backend_is_named(tmp_path):
    with pytest.raises(CheckError, match="Unknown database backend 'sqlite': lmdb or"):
        open_database("sqlite", str(tmp_path), quiet)


def test_bytes_that_are_no_datum_are_an_error():
    with pytest.raises(FileError, match=r"db: key 'a': 3 bytes that are no Datum"):
        parse_datum(b"\xff\xff\xff", "db: key 'a'")


def test_keys_are_shown_whatever_they_hold():
    assert shown(b"\xff_a") == r"key '\\xff_a'"


class TestImageOf:
    def test_bytes(self):
        values = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
        image = image_of(io.array_to_datum(values))
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, values)

    def test_floats(self):
        values = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
        np.testing.assert_array_equal(image_of(io.array_to_datum(values)), values)

    @pytest.mark.parametrize(
        ("datum", "match"),
        [
            ({"data": b"12"}, r"a Datum of shape \(0, 0, 0\): expected above 0"),
            (
                {"channels": -1, "height": 2, "width": 3},
                r"shape \(-1, 2, 3\): expected above 0",
            ),
            (
                {"channels": 1, "height": 2, "width": 3, "data": b"12"},
                r"shape \(1, 2, 3\) has 2 values",
            ),
            (
                {"channels": 2**31 - 1, "height": 2**31 - 1, "width": 2**31 - 1},
                "has 0 values",
            ),
            ({"encoded": True, "data": b"no image"}, "is no image, or a damaged one"),
        ],
    )
    def test_refuses(self, datum, match):
        with pytest.raises(CheckError, match=match):
            image_of(caffe_pb2.Datum(**datum))
