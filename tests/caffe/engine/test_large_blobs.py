"""Blobs of 2^31 numbers and more: C++ Caffe counts in 32 bits, volumes don't.

What is not written to takes no memory: the system gives pages of zeros.
"""

import numpy as np
import pytest

import caffe
from caffe.engine import snapshot
from caffe.engine.blob import Blob
from caffe.errors import CheckError, FileError
from caffe.proto import blobs, caffe_pb2

COUNT = 2**31 + 6
LARGEST_MESSAGE = 2**31 - 1  # bytes, of protocol buffers


def test_a_blob_of_more_than_2_31_numbers_can_be_written_and_read():
    blob = Blob((2, COUNT // 2))
    assert blob.count == COUNT
    blob.data[-1, -1] = 7
    assert blob.data.reshape(-1)[COUNT - 1] == 7
    assert blob.data[0, 0] == 0
    blob.reshape(COUNT)
    assert blob.data[-1] == 7


@pytest.mark.parametrize("shape", [(2**40, 2**40), (0, 2**62), (2**64,)])
def test_extents_that_64_bits_cannot_count_are_refused(shape):
    with pytest.raises(CheckError, match="expected at most 2305843009213693951"):
        Blob(shape)


class Wide:
    """A net with one parameter that is too large for a binary file."""

    def __init__(self):
        self.written_blobs = [Blob((2**29,))]
        self.param_entries = []
        self._layer_names = ["wide"]

    def outline(self):
        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="wide", type="InnerProduct")
        layer.blobs.add().shape.dim.append(2**29)
        return net


def test_weights_that_no_caffemodel_can_hold_are_refused_with_the_way_out(tmp_path):
    path = tmp_path / "a.caffemodel"
    match = f"a.caffemodel: would have .* at most {LARGEST_MESSAGE}: expected HDF5"
    with pytest.raises(FileError, match=match):
        snapshot.write_weights(Wide(), path, hdf5_format=False)
    assert not list(tmp_path.iterdir())


def test_a_blobproto_that_is_too_large_is_refused_before_it_is_copied():
    many = np.broadcast_to(np.float32(0), 2**29)
    with pytest.raises(CheckError, match=f"at most {LARGEST_MESSAGE // 4} numbers"):
        blobs.put(caffe_pb2.BlobProto(), "data", many)


@pytest.mark.slow
def test_a_layer_reads_all_of_more_than_2_31_numbers():
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="x", type="Input", top=["x"])
    layer.input_param.shape.add(dim=[2, COUNT // 2])
    layer = net.layer.add(name="sum", type="Reduction", bottom=["x"], top=["y"])
    layer.reduction_param.axis = 1
    built = caffe.Net(net, caffe.TEST)
    data = built.blobs["x"].data
    data[0, 0], data[1, -1] = 3, 4
    assert built.forward(start="sum")["y"].tolist() == [3, 4]
