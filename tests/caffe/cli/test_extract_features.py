"""`extract_features` writes what the net computes."""

import sys

import h5py
import lmdb
import numpy as np
import pytest

import caffe
from caffe.cli.extract_features import main
from caffe.engine.sources.lmdb import LMDBWriter
from caffe.proto import caffe_pb2
from tests.support.files import names

MODULE = sys.modules[main.__module__]
ROWS, BATCH = 7, 3
DATA = np.random.default_rng(2).normal(size=(ROWS, 2, 4, 5)).astype(np.float32)
NET = f"""
layer {{ name: "data" type: "HDF5Data" top: "data"
  hdf5_data_param {{ source: "list.txt" batch_size: {BATCH} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 3 kernel_size: 1 bias_term: false }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 2 bias_term: false }} }}
layer {{ name: "loss" type: "Reduction" bottom: "ip" top: "sum" }}
"""
CONV = np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)
IP = np.random.default_rng(4).normal(size=(2, 60)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("rows.h5", "w") as file:
        file["data"] = DATA
    (tmp_path / "list.txt").write_text("rows.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.params["conv"][0].data[...] = CONV[:, :, None, None]
    net.params["ip"][0].data[...] = IP
    net.save("net.caffemodel")
    return tmp_path


def extract(blobs, datasets, batches="2", backend="lmdb", *device):
    words = ["net.caffemodel", "net.prototxt", blobs, datasets, batches, backend]
    return main([*words, *device])


def features(path):
    """Keys and Datums of an LMDB database."""
    with (
        lmdb.open(str(path), readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        return [
            (key, caffe_pb2.Datum.FromString(value))
            for key, value in transaction.cursor()
        ]


def expected(count):
    """Rows as the data layer gives them, round and round."""
    rows = DATA[np.arange(count) % ROWS]
    conv = np.einsum("oc,nchw->nohw", CONV, rows)
    return conv, conv.reshape(count, -1) @ IP.T


def test_every_image_has_a_datum_of_floats_under_its_number(folder):
    assert extract("ip", "found") == 0
    found = features("found")
    assert [key for key, _ in found] == [b"%010d" % i for i in range(2 * BATCH)]
    _, wanted = expected(2 * BATCH)
    for (_, datum), row in zip(found, wanted, strict=True):
        assert (datum.channels, datum.height, datum.width) == (2, 1, 1)
        assert not datum.HasField("data")
        assert not datum.HasField("label")
        assert list(datum.float_data) == pytest.approx(row, rel=1e-4, abs=1e-4)


def test_several_blobs_are_extracted_in_one_pass(folder):
    assert extract("conv,ip", "a,b", "3") == 0
    conv, ip = expected(3 * BATCH)
    for path, wanted in (("a", conv), ("b", ip)):
        arrays = [caffe.io.datum_to_array(datum) for _, datum in features(path)]
        values = np.array(arrays).reshape(wanted.shape)
        assert values == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert features("a")[0][1].height == 4


def test_leveldb_holds_the_same(folder):
    plyvel = pytest.importorskip("plyvel")
    assert extract("ip", "a") == 0
    assert extract("ip", "b", "2", "leveldb", "CPU") == 0
    database = plyvel.DB("b")
    found = [(key, caffe_pb2.Datum.FromString(value)) for key, value in database]
    database.close()
    assert found == features("a")


def test_caffes_lines_are_logged(folder, capsys):
    assert extract("ip", "found") == 0
    lines = [line.split(" ", 3)[-1] for line in capsys.readouterr().err.splitlines()]
    told = [line.partition("] ")[2] for line in lines if "extract_features" in line]
    assert told == [
        "Using CPU",
        "Opening dataset found",
        "Extracting Features",
        "Extracted features of 6 query images for feature blob ip",
        "Successfully extracted the features!",
    ]


def test_lines_are_logged_on_the_way(folder, capsys, monkeypatch):
    monkeypatch.setattr(MODULE, "_IMAGES_BETWEEN_LINES", 4)
    assert extract("ip", "found", "3") == 0
    lines = capsys.readouterr().err.splitlines()
    told = [line.partition("Extracted features of ")[2][:1] for line in lines]
    assert [text for text in told if text] == ["4", "8", "9"]
    assert len(features("found")) == 9


def test_a_blob_of_one_number_is_one_image_a_batch(folder):
    assert extract("sum", "found", "2") == 0
    (_, first), (_, _) = features("found")
    assert (first.channels, first.height, first.width) == (1, 1, 1)
    assert first.float_data[0] == pytest.approx(expected(3)[1].sum(), rel=1e-4)


def test_large_features_are_written_before_a_thousand(folder, monkeypatch):
    written = []
    monkeypatch.setattr(MODULE, "_BYTES_HELD", 20)
    real = LMDBWriter.write

    def write(self, records):
        written.append(len(records))
        real(self, records)

    monkeypatch.setattr(LMDBWriter, "write", write)
    assert extract("ip", "found") == 0
    assert max(written) < 3
    assert len(features("found")) == 2 * BATCH


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ip", "a,b"], "1 blob names and 2 dataset names"),
        (["gone", "a"], "Unknown feature blob name gone in the network net.prototxt"),
        (["ip", "a", "0"], "num_mini_batches must be 1 or more, it is '0'"),
        (["ip", "a", "x"], "num_mini_batches must be 1 or more, it is 'x'"),
        (["ip", "a", "1", "hdf5"], "Unknown database backend 'hdf5'"),
        (["ip", "a", "1", "lmdb", "TPU"], "'TPU': expected CPU, or GPU and its"),
        (["ip", "a", "1", "lmdb", "GPU", "x"], "'GPU x': expected CPU, or GPU"),
        (["ip", "list.txt"], "list.txt: is there already"),
        (["ip,ip", "a,a"], "a,a: expected another dataset for each blob"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, told, folder, capsys):
    before = names(folder)
    assert extract(*arguments) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("extract_features: ")
    assert told in line
    assert names(folder) == before


def test_blobs_of_five_axes_are_refused(folder, capsys):
    (folder / "net.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "in" '
        "input_param { shape { dim: [1, 2, 3, 4, 5] } } }"
    )
    assert extract("in", "a") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "feature blob in has shape (1, 2, 3, 4, 5); a Datum holds blobs of" in line


@pytest.mark.gpu
def test_a_gpu_computes_the_same(folder, capsys):
    try:
        assert extract("ip", "found", "2", "lmdb", "GPU", "DEVICE_ID=0") == 0
    finally:
        caffe.set_mode_cpu()
    assert "Using Device_id=0" in capsys.readouterr().err
    _, wanted = expected(2 * BATCH)
    rows = [list(datum.float_data) for _, datum in features("found")]
    assert np.array(rows) == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_a_gpu_that_is_not_there_is_refused(folder, capsys):
    assert extract("ip", "found", "2", "lmdb", "GPU", "63") == 1
    lines = capsys.readouterr().err.splitlines()
    assert any(line.endswith("Using GPU") for line in lines)
    assert lines[-1].startswith("extract_features: ")
    assert names(folder).count("found") == 0
