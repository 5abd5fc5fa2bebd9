"""Weights in binary files: numbers go between file and blobs, not through messages."""

import numpy as np
import pytest

import caffe
from caffe.engine import snapshot
from caffe.errors import FileError
from caffe.proto import wire
from tests.support.snapshots import NET, SHARED

ODD = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 5 dim: 5 } } }
layer { name: "one" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "two" type: "Convolution" bottom: "a" top: "b" param { lr_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "three" type: "Deconvolution" bottom: "b" top: "c"
  convolution_param { num_output: 2 kernel_size: 2 weight_filler { type: "xavier" } } }
layer { name: "four" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "five" type: "InnerProduct" bottom: "c" top: "d"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def build(tmp_path):
    def make(text=NET):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TEST)

    return make


@pytest.fixture(params=[1, 7, 1 << 20])
def _block(request, monkeypatch):
    monkeypatch.setattr(snapshot, "_BLOCK", request.param)


def each(net):
    return [blob for blobs in net.params.values() for blob in blobs]


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("seen", [False, True])
def test_every_layout_gets_its_numbers_a_few_at_a_time(build, tmp_path, seen):
    source, net = build(ODD), build(ODD)
    source.save(tmp_path / "w.caffemodel")
    views = [blob.data for blob in each(net)] if seen else []
    net.copy_from(tmp_path / "w.caffemodel")
    for mine, theirs in zip(each(net), each(source), strict=True):
        assert np.array_equal(mine.values(), theirs.values())
        if not seen:
            assert mine.tensor().stride() == theirs.tensor().stride()
    for view, blob in zip(views, each(net), strict=seen):
        assert np.array_equal(view, blob.data)
        assert np.shares_memory(view, blob.data)


def test_doubles_and_numbers_that_are_not_packed_load(build, tmp_path):
    net = build()
    message = net.to_proto()
    kernel, bias = message.layer[1].blobs
    kernel.double_data.extend(range(54))
    kernel.ClearField("data")
    bias.ClearField("data")
    short = bias.SerializeToString()
    length = len(short) + 15
    singles = b"".join(b"\x2d" + np.float32(v).tobytes() for v in (1, 2, 3))
    changed = message.layer[1].SerializeToString()
    found = changed.replace(
        bytes([7 << 3 | 2, len(short)]) + short,
        bytes([7 << 3 | 2, length]) + short + singles,
    )
    raw = wire.tag(100, wire.LENGTH) + wire.varint(len(found)) + found
    (tmp_path / "w.caffemodel").write_bytes(raw)
    net.copy_from(tmp_path / "w.caffemodel")
    assert net.params["conv"][0].data.ravel().tolist() == list(range(54))
    assert net.params["conv"][1].data.tolist() == [1, 2, 3]


def test_a_later_layer_that_does_not_fit_leaves_the_net_as_it_was(build, tmp_path):
    net = build()
    message = net.to_proto()
    message.layer[1].blobs[0].data[:] = [1] * 54
    del message.layer[2].blobs[1].data[:]
    (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
    with pytest.raises(FileError, match=r"layer 'ip', param 1: .*needs 4 values"):
        net.copy_from(tmp_path / "w.caffemodel")
    assert (net.params["conv"][0].data == 7).all()


def test_a_backward_after_loading_still_finds_what_its_forward_used(build, tmp_path):
    build().save(tmp_path / "w.caffemodel")
    net = build("force_backward: true" + NET)
    net.params["ip"][0].diff[...] = 0
    net.forward(start="conv", end="ip")
    net.copy_from(tmp_path / "w.caffemodel")
    net.blobs["ip"].diff[...] = 1
    net.backward()
    # 7 a weight, through 3 outputs of the convolution and 4 of the last layer
    assert net.blobs["data"].diff[0, 0, 2, 2] == 9 * 3 * 7 * 4 * 2


@pytest.mark.parametrize("diff", [False, True])
@pytest.mark.parametrize("text", [NET, ODD, SHARED])
def test_the_file_is_the_message_byte_by_byte(build, tmp_path, text, diff):
    net = build(text)
    for index, blob in enumerate(each(net)):
        blob.diff[...] = index
    path = tmp_path / "w.caffemodel"
    snapshot.write_weights(net, path, hdf5_format=False, write_diff=diff)
    message = net.to_proto(write_diff=diff)
    assert path.read_bytes() == message.SerializeToString()
    for layer in message.layer:
        for written, blob in zip(
            layer.blobs, net.layer_dict[layer.name].blobs, strict=True
        ):
            assert list(written.data) == blob.data.ravel().tolist()
            assert list(written.diff) == (blob.diff.ravel().tolist() if diff else [])
            assert list(written.shape.dim) == list(blob.shape)
