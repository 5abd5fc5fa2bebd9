"""What Git LFS leaves in the place of a file is called what it is."""

from __future__ import annotations

import pytest

import caffe
from caffe.engine.solvers import state
from caffe.engine.sources import images
from caffe.engine.sources.hdf5 import HDF5Rows
from caffe.engine.sources.lmdb import LMDBReader
from caffe.engine.transformer import read_mean
from caffe.errors import FileError
from caffe.proto import files

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)
NET = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 } } }'


def net(path):
    model = path.with_name("model")
    model.write_text(NET)
    return caffe.Net(str(model), caffe.TEST)


def rows(path):
    source = path.with_name("list")
    source.write_text(path.name)
    HDF5Rows(str(source), ["data"])


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("net.prototxt", files.read_net),
        ("solver.prototxt", files.read_solver),
        ("net.caffemodel", files.read_net_binary),
        ("net.caffemodel", lambda path: net(path).copy_from(path)),
        ("net.caffemodel.h5", lambda path: net(path).copy_from(path)),
        ("a.solverstate", state.read),
        ("a.solverstate.h5", state.read),
        ("mean.binaryproto", lambda path: read_mean(str(path))),
        ("a.png", images.read),
        ("rows.h5", rows),
        ("data.mdb", lambda path: LMDBReader(str(path))),
    ],
)
def test_every_reader_says_so(name, read, tmp_path):
    path = tmp_path / name
    path.write_text(POINTER)
    with pytest.raises(FileError) as caught:
        read(path)
    expected = "is a Git LFS pointer, not the file itself: 'git lfs pull' fetches it"
    assert str(caught.value) == f"{path}: {expected}"
