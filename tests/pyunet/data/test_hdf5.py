import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pyunet.data.hdf5 import read_training_set, write_training_set
from pyunet.data.training_set import Sample
from pyunet.errors import DataError

RNG = np.random.default_rng(0)
SAMPLES = [
    Sample(
        RNG.random((1, 12, 14), dtype=np.float32),
        RNG.integers(0, 2, (1, 8, 10), dtype=np.uint8),
        RNG.random((1, 8, 10), dtype=np.float32) * 11,
    )
    for _ in range(5)
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory, so that lists hold short relative paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestWrite:
    def test_makes_what_caffe_reads(self, here):
        list_file = write_training_set(SAMPLES, 5, "set", samples_per_file=2)
        assert list_file.read_text() == (
            "set/train_000.h5\nset/train_001.h5\nset/train_002.h5\n"
        )
        with h5py.File(here / "set/train_000.h5") as file:
            shapes = {name: (d.shape, str(d.dtype)) for name, d in file.items()}
        assert shapes == {
            "data": ((2, 1, 12, 14), "float16"),
            "label": ((2, 1, 8, 10), "uint8"),
            "weights": ((2, 1, 8, 10), "float16"),
        }

    def test_compresses_one_sample_a_chunk(self, here):
        write_training_set(SAMPLES, 5, "set")
        with h5py.File("set/train_000.h5") as file:
            data = file["data"]
            assert (data.chunks, data.compression, data.shuffle) == (
                (1, 1, 12, 14), "gzip", True,
            )  # fmt: skip

    def test_records_the_arguments(self, here):
        write_training_set(SAMPLES, 5, "set", arguments={"seed": 3})
        with h5py.File("set/train_000.h5") as file:
            assert json.loads(file.attrs["arguments"]) == {"seed": 3}

    @pytest.mark.parametrize(
        ("dtype", "scale", "tolerance"),
        [("float16", 1, 5e-4), ("float32", 1, 0), ("uint8", 255, 0.5)],
    )
    def test_stores_greys_in_the_type_asked_for(self, here, dtype, scale, tolerance):
        list_file = write_training_set(SAMPLES, 5, "set", dtype=dtype)
        for stored, sample in zip(read_training_set(list_file), SAMPLES, strict=True):
            assert stored.data.dtype == np.dtype(dtype)
            np.testing.assert_allclose(
                stored.data, sample.data * scale, rtol=0, atol=tolerance
            )
            np.testing.assert_array_equal(stored.label, sample.label)
            np.testing.assert_allclose(stored.weights, sample.weights, rtol=1e-3)

    def test_replaces_an_older_set(self, here):
        write_training_set(SAMPLES[:1], 1, "set")
        write_training_set(SAMPLES, 5, "set")
        assert len(list(read_training_set("set/train.txt"))) == 5
        assert sorted(p.name for p in (here / "set").iterdir()) == [
            "train.txt", "train_000.h5",
        ]  # fmt: skip


class TestRefuses:
    def test_white_space_in_the_path(self, here):
        with pytest.raises(DataError, match=r"my set/train\.txt: white space"):
            write_training_set(SAMPLES, 5, "my set")
        assert not list(here.iterdir())

    def test_no_samples(self, here):
        with pytest.raises(DataError, match="0 samples"):
            write_training_set([], 0, "set")

    def test_a_folder_that_is_a_file(self, here):
        (here / "set").write_text("x")
        with pytest.raises(DataError, match="set: cannot be written"):
            write_training_set(SAMPLES, 5, "set")

    def test_a_list_file_that_is_not_there(self, here):
        with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such"):
            list(read_training_set("none.txt"))

    def test_a_listed_file_that_is_not_there(self, here):
        (here / "train.txt").write_text("gone.h5\n")
        with pytest.raises(DataError, match=r"gone\.h5 \(named in train\.txt\)"):
            list(read_training_set("train.txt"))

    def test_a_file_without_labels(self, here):
        with h5py.File("a.h5", "w") as file:
            file["data"] = np.zeros((1, 1, 4, 4))
        (here / "train.txt").write_text("a.h5\n")
        with pytest.raises(DataError, match=r"a\.h5: has no dataset label and no wei"):
            list(read_training_set("train.txt"))


class TestLeavesNothingHalfWritten:
    def test_when_a_sample_cannot_be_made(self, here):
        def broken():
            yield from SAMPLES[:3]
            raise DataError("slice 4 is bad")

        with pytest.raises(DataError, match="slice 4 is bad"):
            write_training_set(broken(), 5, "set", samples_per_file=2)
        assert not list(here.iterdir())

    def test_and_keeps_the_older_set(self, here):
        write_training_set(SAMPLES, 5, "set", samples_per_file=2)
        before = {p.name: p.read_bytes() for p in (here / "set").iterdir()}

        def broken():
            yield SAMPLES[0]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_training_set(broken(), 5, "set")
        assert {p.name: p.read_bytes() for p in (here / "set").iterdir()} == before

    def test_on_a_full_disk(self, here):
        # a limit on file size makes the system refuse writes as a full disk does
        program = """
import resource, signal
import numpy as np
from pyunet.data.hdf5 import write_training_set
from pyunet.data.training_set import Sample
from pyunet.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
noise = rng.random((1, 200, 200), dtype=np.float32)
try:
    write_training_set([Sample(noise, noise > 0.5, noise)], 1, "set")
except DataError as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("set: cannot be written: ")
        assert done.stdout.count("\n") == 1
        assert not list(here.iterdir())
