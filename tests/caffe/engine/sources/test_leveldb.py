import gc
import os

import pytest

from caffe.engine.sources.leveldb import LevelDBReader, LevelDBWriter
from caffe.errors import CaffeError, FileError

plyvel = pytest.importorskip("plyvel")


def write(path, records):
    with plyvel.DB(str(path), create_if_missing=True) as db:
        for key, value in records.items():
            db.put(key, value)


class TestLevelDBReader:
    def test_gives_what_leveldb_wrote(self, tmp_path):
        records = {b"%05d" % (i * 7919 % 5000): os.urandom(50) for i in range(3000)}
        write(tmp_path / "db", records)
        reader = LevelDBReader(str(tmp_path / "db"))
        found = [(key, value()) for key, value in reader.records()]
        assert found == sorted(records.items())
        key = sorted(records)[1234]
        assert next(reader.records(key))[0] == key

    def test_two_readers_share_one_database(self, tmp_path):
        write(tmp_path / "db", {b"a": b"1", b"b": b"2"})
        first = LevelDBReader(str(tmp_path / "db"))
        second = LevelDBReader(os.path.relpath(tmp_path / "db"))
        assert [key for key, _ in first.records()] == [b"a", b"b"]
        assert [key for key, _ in second.records()] == [b"a", b"b"]

    def test_gives_the_database_free_when_it_goes(self, tmp_path):
        write(tmp_path / "db", {b"a": b"1"})
        reader = LevelDBReader(str(tmp_path / "db"))
        del reader
        gc.collect()
        write(tmp_path / "db", {b"b": b"2"})

    def test_refuses_what_is_missing_and_makes_nothing(self, tmp_path):
        with pytest.raises(
            FileError, match="db: no LevelDB database: expected a folder"
        ):
            LevelDBReader(str(tmp_path / "db"))
        assert not (tmp_path / "db").exists()

    def test_refuses_an_empty_database(self, tmp_path):
        write(tmp_path / "db", {})
        with pytest.raises(FileError, match="db: has no records"):
            LevelDBReader(str(tmp_path / "db"))

    def test_refuses_one_that_is_in_use(self, tmp_path):
        write(tmp_path / "db", {b"a": b"1"})
        with (
            plyvel.DB(str(tmp_path / "db")),
            pytest.raises(FileError, match=r"db: can't be read as LevelDB: .*LOCK"),
        ):
            LevelDBReader(str(tmp_path / "db"))

    def test_refuses_a_damaged_one(self, tmp_path):
        write(tmp_path / "db", {b"a": b"1"})
        (tmp_path / "db" / "CURRENT").write_text("nonsense\n")
        with pytest.raises(FileError, match="db: can't be read as LevelDB"):
            LevelDBReader(str(tmp_path / "db"))

    def test_damaged_records_are_an_error(self, tmp_path):
        path = tmp_path / "db"
        write(path, {b"%06d" % i: os.urandom(100) for i in range(5000)})
        with plyvel.DB(str(path)) as db:
            db.compact_range()
        for file in path.glob("*.ldb"):
            raw = bytearray(file.read_bytes())
            raw[len(raw) // 2 : len(raw) // 2 + 50] = bytes(50)
            file.write_bytes(raw)
        with pytest.raises(FileError, match=r"db: can't be read as LevelDB: .*orrupt"):
            list(LevelDBReader(str(path)).records())

    def test_without_plyvel_the_line_that_installs_it_is_named(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(__import__("sys").modules, "plyvel", None)
        with pytest.raises(CaffeError, match=r"pip install 'pyunet\[leveldb\]'"):
            LevelDBReader(str(tmp_path))


class TestLevelDBWriter:
    def test_makes_a_database_that_leveldb_reads(self, tmp_path):
        writer = LevelDBWriter(tmp_path / "db")
        writer.write([(b"b", b"2"), (b"a", b"1")])
        writer.close()
        with plyvel.DB(str(tmp_path / "db")) as db:
            assert list(db) == [(b"a", b"1"), (b"b", b"2")]

    def test_what_leveldb_refuses_is_an_error(self, tmp_path, monkeypatch):
        class Full:
            def write_batch(self, **options):
                raise plyvel.IOError("No space left on device")

        writer = LevelDBWriter(tmp_path / "db")
        writer.close()
        monkeypatch.setattr(writer, "_db", Full())
        with pytest.raises(FileError, match="db: cannot be written"):
            writer.write([(b"b", b"2")])
