"""Nets written in Python, against prototxt written by hand."""

import pytest
from google.protobuf import text_format

import caffe
from caffe import layers as L  # noqa: N812
from caffe import params as P  # noqa: N812
from caffe.net_spec import assign_proto, to_proto
from caffe.proto import caffe_pb2


def net(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_a_net_named_by_its_attributes():
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[{"dim": [2, 1, 8, 8]}, {"dim": [2]}],
        ntop=2,
        transform_param={"scale": 0.5},
    )
    n.conv = L.Convolution(
        n.data,
        kernel_size=3,
        num_output=4,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2}],
        name="renamed",
    )
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    n.relu = L.ReLU(n.pool, in_place=True)
    n.up = L.Deconvolution(
        n.relu, convolution_param={"num_output": 2, "kernel_size": 2, "stride": 2}
    )
    n["loss"] = L.SoftmaxWithLoss(n.up, n.label, include={"phase": caffe.TRAIN})
    wanted = net("""
        layer { name: "data" type: "DummyData" top: "data" top: "label"
          transform_param { scale: 0.5 }
          dummy_data_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } shape { dim: 2 } } }
        layer { name: "renamed" type: "Convolution" bottom: "data" top: "conv"
          param { lr_mult: 1 } param { lr_mult: 2 }
          convolution_param { num_output: 4 kernel_size: 3
            weight_filler { type: "xavier" } } }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
          pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
        layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }
        layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up"
          convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "up" bottom: "label"
          top: "loss" include { phase: TRAIN } }
    """)
    assert n.to_proto() == wanted


def test_a_net_without_names_numbers_its_layers_by_type():
    data = L.Input(shape={"dim": [1, 3]})
    one = L.InnerProduct(data, num_output=2)
    two = L.InnerProduct(one, num_output=2)
    wanted = net("""
        layer { name: "Input1" type: "Input" top: "Input1"
          input_param { shape { dim: 1 dim: 3 } } }
        layer { name: "InnerProduct1" type: "InnerProduct" bottom: "Input1"
          top: "InnerProduct1" inner_product_param { num_output: 2 } }
        layer { name: "InnerProduct2" type: "InnerProduct" bottom: "InnerProduct1"
          top: "InnerProduct2" inner_product_param { num_output: 2 } }
    """)
    assert to_proto(two) == wanted
    assert two.to_proto() == wanted


def test_layers_without_tops():
    n = caffe.NetSpec()
    n.data, n.other = L.DummyData(shape={"dim": [3]}, ntop=2)
    n.silence = L.Silence(n.data, n.other, ntop=0)
    last = n.to_proto().layer[-1]
    assert (last.name, list(last.bottom), list(last.top)) == (
        "silence",
        ["data", "other"],
        [],
    )


def test_silence_without_a_name_is_numbered():
    top = L.Input(shape={"dim": [3]})
    assert to_proto(L.Silence(top, ntop=0)).layer[-1].name == "Silence1"


def test_a_layer_used_twice_is_written_once():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [3]})
    n.sum = L.Eltwise(n.data, n.data)
    assert [layer.name for layer in n.to_proto().layer] == ["data", "sum"]


def test_attributes_and_items_are_the_same():
    n = caffe.NetSpec()
    n["a"] = L.Input()
    assert n.a is n["a"]
    del n["a"]
    n.b = L.Input()
    del n.b
    with pytest.raises(AttributeError, match="the net has no 'b'"):
        _ = n.b


def test_an_input_that_is_no_top_is_refused():
    with pytest.raises(TypeError, match=r"ReLU input 1 is not a Top \(type is str\)"):
        L.ReLU(L.Input(), "data")


def test_an_option_that_the_layer_lacks_is_named():
    with pytest.raises(AttributeError, match="type Pooling has no 'num_output'"):
        to_proto(L.Pooling(L.Input(), num_output=3))


def test_a_dictionary_without_entries_still_sets_its_message():
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "relu_param", {})
    assert layer.HasField("relu_param")


def test_layers_of_the_engine_do_not_hide_the_layers_of_nets(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(L.Input(shape={"dim": [1, 2]}).to_proto()))
    caffe.Net(str(path), caffe.TEST)
    from caffe import layers

    assert layers is L
    assert layers.ReLU(layers.Input()).to_proto().layer[1].type == "ReLU"
