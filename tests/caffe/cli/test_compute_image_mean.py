import lmdb
import numpy as np
import pytest

import caffe
from caffe.cli.compute_image_mean import main
from caffe.engine.sources import images
from caffe.engine.transformer import read_mean
from caffe.proto import caffe_pb2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(datums, path="db"):
    with (
        lmdb.open(path, map_size=1 << 28) as environment,
        environment.begin(write=True) as transaction,
    ):
        for i, datum in enumerate(datums):
            transaction.put(b"%05d" % i, datum.SerializeToString())


def some_images(count=7, shape=(3, 4, 5)):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, np.uint8) for _ in range(count)]


def lines(capsys):
    return [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("folder")
class TestComputeImageMean:
    def test_writes_the_mean_of_all_images(self, capsys):
        arrays = some_images()
        write(caffe.io.array_to_datum(image, 1) for image in arrays)
        assert main(["db", "mean.binaryproto"]) == 0
        want = np.mean(arrays, axis=0)
        np.testing.assert_allclose(read_mean("mean.binaryproto"), want, rtol=1e-6)
        with open("mean.binaryproto", "rb") as file:
            message = caffe_pb2.BlobProto.FromString(file.read())
        numbers = (message.num, message.channels, message.height, message.width)
        assert numbers == (1, 3, 4, 5)
        assert not message.HasField("shape")
        found = lines(capsys)
        assert found[:5] == [
            "Opened lmdb db",
            "Starting iteration",
            "Processed 7 files.",
            "Write to mean.binaryproto",
            "Number of channels: 3",
        ]
        for channel, line in enumerate(found[5:]):
            name, _, value = line.rpartition(" ")
            assert name == f"mean_value channel [{channel}]:"
            assert float(value) == pytest.approx(want[channel].mean(), rel=1e-5)

    def test_without_an_output_the_values_are_shown_only(self, folder, capsys):
        write(caffe.io.array_to_datum(image) for image in some_images())
        assert main(["-backend", "lmdb", "db"]) == 0
        assert "Number of channels: 3" in lines(capsys)
        assert [path.name for path in folder.iterdir()] == ["db"]

    def test_encoded_images_and_floats(self, capsys):
        arrays = some_images(shape=(4, 5, 3))
        write(
            caffe_pb2.Datum(data=images.encode(image, "png"), encoded=True)
            for image in arrays
        )
        assert main(["db", "mean"]) == 0
        want = np.mean(arrays, axis=0).transpose(2, 0, 1)
        np.testing.assert_allclose(read_mean("mean"), want, rtol=1e-6)
        assert "Decoding Datum" in lines(capsys)
        write([caffe.io.array_to_datum(want)], "floats")
        assert main(["floats", "mean"]) == 0
        np.testing.assert_allclose(read_mean("mean"), want, rtol=1e-6)

    def test_leveldb(self):
        plyvel = pytest.importorskip("plyvel")
        arrays = some_images()
        with plyvel.DB("db", create_if_missing=True) as db:
            for i, image in enumerate(arrays):
                datum = caffe.io.array_to_datum(image)
                db.put(b"%05d" % i, datum.SerializeToString())
        assert main(["db", "mean", "--backend=leveldb"]) == 0
        want = np.mean(arrays, axis=0)
        np.testing.assert_allclose(read_mean("mean"), want, rtol=1e-6)

    def test_tells_how_far_it_is(self, capsys, monkeypatch):
        monkeypatch.setattr("caffe.cli.compute_image_mean._LOGGED_IMAGES", 3)
        write(caffe.io.array_to_datum(image) for image in some_images(6))
        assert main(["db"]) == 0
        counts = [line for line in lines(capsys) if line.startswith("Processed")]
        assert counts == ["Processed 3 files.", "Processed 6 files."]

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["nowhere"], "nowhere: No such file or directory"),
            (["db", "a", "b"], "3 arguments; expected INPUT_DB, or INPUT_DB and"),
            (["db", "-backend", "x"], "Unknown database backend 'x': lmdb or leveldb"),
            (["db", "-foo"], "unknown command line flag 'foo'"),
            (["db", "nowhere/mean"], "nowhere/mean: cannot be written"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, capsys, arguments, text):
        write(caffe.io.array_to_datum(image) for image in some_images(1))
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[-1].startswith(f"compute_image_mean: {text}")

    @pytest.mark.parametrize(
        ("second", "text"),
        [
            ({"data": b"123"}, r"db: key '00001': a Datum of shape (0, 0, 0)"),
            (
                {"channels": 1, "height": 1, "width": 2, "data": b"12"},
                "db: key '00001': Incorrect data field size 2: an image of shape",
            ),
        ],
    )
    def test_a_bad_row_is_named_and_nothing_is_written(
        self, folder, capsys, second, text
    ):
        write([caffe.io.array_to_datum(some_images(1)[0]), caffe_pb2.Datum(**second)])
        assert main(["db", "mean"]) == 1
        assert text in capsys.readouterr().err
        assert not (folder / "mean").exists()

    def test_help_and_version(self, capsys):
        assert main([]) == 1
        assert main(["--help"]) == 0
        assert capsys.readouterr().out.count("compute_image_mean [FLAGS] INPUT_DB") == 2
        assert main(["-version"]) == 0
        assert capsys.readouterr().out == "caffe version 1.0.0\n"

    def test_minloglevel_silences_it(self, capsys, monkeypatch):
        monkeypatch.setenv("GLOG_minloglevel", "0")
        write(caffe.io.array_to_datum(image) for image in some_images(1))
        assert main(["db", "-minloglevel", "1"]) == 0
        assert capsys.readouterr().err == ""
