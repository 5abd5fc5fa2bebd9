import random
from pathlib import Path

import lmdb
import pytest

from caffe.engine.sources.lmdb import LMDBReader, LMDBWriter
from caffe.errors import FileError


def write(path, records, *, map_size=1 << 30, **options):
    with (
        lmdb.open(str(path), map_size=map_size, **options) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in records.items():
            transaction.put(key, value)


def some_records(count, largest, seed=0):
    rng = random.Random(seed)
    keys = (
        b"%08d_%s" % (rng.randrange(10**8), b"x" * rng.randrange(40))
        for _ in range(count)
    )
    return {key: rng.randbytes(rng.randrange(largest)) for key in keys}


def all_of(reader, start=b""):
    return [(key, value()) for key, value in reader.records(start)]


class TestLMDBReader:
    @pytest.mark.parametrize(
        ("count", "largest"), [(1, 10), (3, 9000), (300, 200), (5000, 600), (900, 9000)]
    )
    def test_gives_what_lmdb_wrote(self, tmp_path, count, largest):
        records = some_records(count, largest)
        write(tmp_path / "db", records)
        assert all_of(LMDBReader(str(tmp_path / "db"))) == sorted(records.items())

    def test_gives_the_last_state_of_a_database_that_was_changed(self, tmp_path):
        records = some_records(700, 100)
        for part in (dict(list(records.items())[i::3]) for i in range(3)):
            write(tmp_path / "db", part)
        gone = sorted(records)[5::9]
        with (
            lmdb.open(str(tmp_path / "db"), map_size=1 << 30) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key in gone:
                transaction.delete(key)
                del records[key]
        assert all_of(LMDBReader(str(tmp_path / "db"))) == sorted(records.items())

    def test_starts_at_a_key_or_the_next_one(self, tmp_path):
        records = some_records(2000, 60)
        write(tmp_path / "db", records)
        reader, keys = LMDBReader(str(tmp_path / "db")), sorted(records)
        for place in (0, 1, 777, 1998, 1999):
            rest = [key for key, _ in reader.records(keys[place])]
            assert rest == keys[place:]
            behind = [key for key, _ in reader.records(keys[place] + b"\0")]
            assert behind == keys[place + 1 :]

    def test_the_file_itself_may_be_named(self, tmp_path):
        write(tmp_path / "db.mdb", {b"k": b"v"}, subdir=False)
        assert all_of(LMDBReader(str(tmp_path / "db.mdb"))) == [(b"k", b"v")]

    def test_writes_nothing_beside_the_database(self, tmp_path):
        write(tmp_path / "db", {b"k": b"v"})
        (tmp_path / "db" / "lock.mdb").unlink()
        all_of(LMDBReader(str(tmp_path / "db")))
        assert [p.name for p in (tmp_path / "db").iterdir()] == ["data.mdb"]

    def test_refuses_what_is_missing(self, tmp_path):
        with pytest.raises(
            FileError, match="nowhere: No such file or directory: expected a folder"
        ):
            LMDBReader(str(tmp_path / "nowhere"))
        with pytest.raises(FileError, match="embedded null byte"):
            LMDBReader("a\0b")
        with pytest.raises(FileError, match=r"No such file"):
            LMDBReader(str(tmp_path))

    @pytest.mark.parametrize("content", [b"", b"x" * 50, b"\x89PNG" + bytes(9000)])
    def test_refuses_another_file(self, tmp_path, content):
        (tmp_path / "data.mdb").write_bytes(content)
        with pytest.raises(FileError, match=r"not an LMDB database of version 1"):
            LMDBReader(str(tmp_path))

    def test_refuses_an_empty_database(self, tmp_path):
        write(tmp_path / "db", {})
        with pytest.raises(FileError, match="db: has no records"):
            LMDBReader(str(tmp_path / "db"))

    def test_refuses_several_values_for_a_key(self, tmp_path):
        with lmdb.open(str(tmp_path / "db"), max_dbs=1) as environment:
            several = environment.open_db(b"several", dupsort=True)
            with environment.begin(write=True, db=several) as transaction:
                transaction.put(b"k", b"1")
                transaction.put(b"k", b"2")
        with pytest.raises(FileError, match="holds a database, or several values"):
            all_of(LMDBReader(str(tmp_path / "db")))

    def test_refuses_a_file_cut_short(self, tmp_path):
        write(tmp_path / "db", some_records(300, 100))
        file = tmp_path / "db" / "data.mdb"
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        match = rf"is cut short: it has {len(whole) - 1} bytes of {len(whole)}"
        with pytest.raises(FileError, match=match):
            LMDBReader(str(tmp_path / "db"))

    def test_a_file_cut_short_while_it_is_read_is_an_error(self, tmp_path):
        write(tmp_path / "db", some_records(900, 100) | {b"~": bytes(9000)})
        reader = LMDBReader(str(tmp_path / "db"))
        *_, (_, last) = reader.records(b"~")
        file = tmp_path / "db" / "data.mdb"
        size = file.stat().st_size
        with file.open("r+b") as opened:
            opened.truncate(size - 4096)
            with pytest.raises(FileError, match=r"the value at page \d+ is cut short"):
                last()
            opened.truncate(3 * 4096)
        with pytest.raises(FileError, match="is cut short"):
            last()
        with pytest.raises(FileError, match="is cut short"):
            all_of(reader)


class TestDamage:
    """Bytes of one small database, one after the other made wrong."""

    PAGE = 4096

    @pytest.fixture
    def database(self, tmp_path):
        records = {
            b"%04d" % i: bytes([i % 256]) * (30 if i % 10 else 5000) for i in range(200)
        }
        write(tmp_path / "db", records)
        return tmp_path / "db" / "data.mdb"

    def damaged(self, database, offset, new):
        raw = bytearray(database.read_bytes())
        raw[offset : offset + len(new)] = new
        database.write_bytes(raw)

    def meta(self, database):
        """Offset of the meta page in use."""
        raw = database.read_bytes()
        first, second = (
            int.from_bytes(raw[p + 144 : p + 152], "little") for p in (0, self.PAGE)
        )
        return self.PAGE if second > first else 0

    def pages(self, database, kind):
        raw = database.read_bytes()
        return [
            at
            for at in range(2 * self.PAGE, len(raw), self.PAGE)
            if raw[at + 10] == kind
            and raw[at : at + 8] == (at // self.PAGE).to_bytes(8, "little")
        ]

    @pytest.mark.parametrize(
        ("offset", "new", "match"),
        [
            (40, b"\x01\x10", "its pages have 4097 bytes|not an LMDB"),
            (94, b"\x00\x00", "its tree has 0 levels"),
            (120, b"\xff\xff\xff\xff", "it says that it has 4294967295 records"),
            (120, b"\x05", "it has more than 5 records"),
            (128, b"\x00", "it refers to page 0 of"),
            (94, b"\x03", "is of kind"),
        ],
    )
    def test_of_the_head(self, database, offset, new, match):
        self.damaged(database, self.meta(database) + offset, new)
        if offset == 40:
            self.damaged(database, 40, new)
        with pytest.raises(FileError, match=match):
            all_of(LMDBReader(str(database)))

    @pytest.mark.parametrize(
        ("offset", "new", "match"),
        [
            (0, b"\x77", "says that it is page 119"),
            (10, b"\x04", "is of kind 4"),
            (12, b"\x00\x00", r"has -8 nodes"),
            (12, b"\xff\xff", r"has 32759 nodes"),
            (16, b"\xfe\xff", r"node 0 of page \d+ is at 65534"),
        ],
    )
    def test_of_a_leaf(self, database, offset, new, match):
        self.damaged(database, self.pages(database, 2)[0] + offset, new)
        with pytest.raises(FileError, match=match):
            all_of(LMDBReader(str(database)))

    @pytest.mark.parametrize(
        ("field", "new", "match"),
        [
            (6, b"\xff\xff", r"has a key of 65535 bytes"),
            (2, b"\xff\x00", r"has \d+ bytes"),
        ],
    )
    def test_of_a_node(self, database, field, new, match):
        leaf = self.pages(database, 2)[0]
        raw = database.read_bytes()
        node = leaf + int.from_bytes(raw[leaf + 18 : leaf + 20], "little")
        self.damaged(database, node + field, new)
        with pytest.raises(FileError, match=match):
            all_of(LMDBReader(str(database)))

    def test_of_a_large_value(self, database):
        place = self.pages(database, 4)[0]
        self.damaged(database, place + 10, b"\x02")
        with pytest.raises(FileError, match="does not hold a value of 5000 bytes"):
            all_of(LMDBReader(str(database)))

    def test_of_the_place_of_a_large_value(self, database):
        leaf = self.pages(database, 2)[0]
        raw = database.read_bytes()
        node = leaf + int.from_bytes(raw[leaf + 16 : leaf + 18], "little")
        size = self.PAGE - (node - leaf) - 8
        self.damaged(database, node + 6, (size).to_bytes(2, "little"))
        with pytest.raises(FileError, match=r"a node of page \d+ is cut short"):
            all_of(LMDBReader(str(database)))

    def test_anywhere_is_an_error_or_gives_other_records(self, database):
        rng = random.Random(1)
        whole = database.read_bytes()
        errors = 0
        for _ in range(400):
            raw = bytearray(whole)
            for _ in range(rng.randrange(1, 6)):
                page = rng.randrange(len(raw) // self.PAGE) * self.PAGE
                raw[page + rng.randrange(64)] = rng.randrange(256)
            database.write_bytes(raw)
            try:
                all_of(LMDBReader(str(database)))
            except FileError:
                errors += 1
        assert errors > 20


class TestLMDBWriter:
    def test_makes_a_database_that_lmdb_reads(self, tmp_path):
        writer = LMDBWriter(tmp_path / "db")
        writer.write([(b"b", b"2"), (b"a", b"1" * 9000)])
        writer.write([(b"c", b"")])
        writer.close()
        with (
            lmdb.open(str(tmp_path / "db"), readonly=True) as environment,
            environment.begin() as transaction,
        ):
            found = list(transaction.cursor())
        assert found == [(b"a", b"1" * 9000), (b"b", b"2"), (b"c", b"")]

    def test_a_key_that_is_too_long_is_an_error(self, tmp_path):
        writer = LMDBWriter(tmp_path / "db")
        with pytest.raises(FileError, match="db: cannot be written: mdb_put: MDB_BAD"):
            writer.write([(b"a", b"1"), (b"k" * 600, b"")])
        writer.close()
        assert Path(tmp_path / "db").is_dir()
