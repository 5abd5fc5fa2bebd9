"""Nets written in Python, against prototxt written by hand."""

import subprocess
import sys

import numpy as np
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
    with pytest.raises(
        TypeError, match=r"^ReLU input 1 is not a Top \(type is <class 'str'>\)$"
    ):
        L.ReLU(L.Input(), "data")


def test_the_tops_of_a_layer_are_given_one_by_one():
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"\(type is <class 'tuple'>\)$"):
        L.Silence(data, ntop=0)
    assert L.Silence(*data, ntop=0).inputs == data


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


def lenet(named):
    """LeNet by its definition of 1998 as Caffe's users write it, all tops named."""
    n = caffe.NetSpec()
    filler = {"type": "xavier"}
    data, label = L.DummyData(
        shape=[{"dim": [4, 1, 28, 28]}, {"dim": [4, 1, 1, 1]}],
        transform_param={"scale": 1.0 / 255},
        ntop=2,
    )
    conv1 = L.Convolution(data, kernel_size=5, num_output=20, weight_filler=filler)
    pool1 = L.Pooling(conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    conv2 = L.Convolution(pool1, kernel_size=5, num_output=50, weight_filler=filler)
    pool2 = L.Pooling(conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    ip1 = L.InnerProduct(pool2, num_output=500, weight_filler=filler)
    relu1 = L.ReLU(ip1, in_place=True)
    ip2 = L.InnerProduct(relu1, num_output=10, weight_filler=filler)
    loss = L.SoftmaxWithLoss(ip2, label)
    if not named:
        return to_proto(loss)
    n.data, n.label, n.conv1, n.pool1, n.conv2 = data, label, conv1, pool1, conv2
    n.pool2, n.ip1, n.relu1, n.ip2, n.loss = pool2, ip1, relu1, ip2, loss
    return n.to_proto()


@pytest.mark.parametrize("named", [True, False])
def test_lenet_is_written_and_built(named, tmp_path):
    proto = lenet(named)
    assert [layer.type for layer in proto.layer] == [
        *("DummyData", "Convolution", "Pooling", "Convolution", "Pooling"),
        *("InnerProduct", "ReLU", "InnerProduct", "SoftmaxWithLoss"),
    ]
    assert proto.layer[6].bottom == proto.layer[6].top
    path = tmp_path / "lenet.prototxt"
    path.write_text(str(proto))
    assert len(caffe.Net(str(path), caffe.TEST).layers) == 9


def test_a_net_without_outputs_runs(tmp_path):
    n = caffe.NetSpec()
    n.data, n.data2 = L.DummyData(shape={"dim": 3}, ntop=2)
    n.silence_data = L.Silence(n.data, ntop=0)
    n.silence_data2 = L.Silence(n.data2, ntop=0)
    path = tmp_path / "silent.prototxt"
    path.write_text(str(n.to_proto()))
    assert caffe.Net(str(path), caffe.TEST).forward() == {}


def test_options_of_the_layer_itself_and_of_its_kind_stand_side_by_side():
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source="train_lmdb",
        backend=P.Data.LMDB,
        batch_size=64,
        transform_param={"mean_value": [104, 117, 123], "crop_size": 227},
        include={"phase": caffe.TRAIN, "stage": ["a", "b"]},
        ntop=2,
    )
    n.loss = L.Python(
        n.data,
        n.label,
        module="layers",
        layer="Loss",
        param_str="{'weight': 2}",
        loss_weight=1,
        propagate_down=[True, False],
    )
    n.acc = L.Accuracy(n.data, n.label, accuracy_param={"top_k": 5})
    wanted = net("""
        layer { name: "data" type: "Data" top: "data" top: "label"
          include { phase: TRAIN stage: "a" stage: "b" }
          transform_param { mean_value: 104 mean_value: 117 mean_value: 123
            crop_size: 227 }
          data_param { source: "train_lmdb" backend: LMDB batch_size: 64 } }
        layer { name: "loss" type: "Python" bottom: "data" bottom: "label"
          top: "loss" loss_weight: 1 propagate_down: true propagate_down: false
          python_param { module: "layers" layer: "Loss"
            param_str: "{'weight': 2}" } }
        layer { name: "acc" type: "Accuracy" bottom: "data" bottom: "label"
          top: "acc" accuracy_param { top_k: 5 } }
    """)
    assert n.to_proto() == wanted


def test_types_outside_the_catalogue_are_written():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1]})
    n.new = L.MyLayer(n.data, param={"lr_mult": 2}, loss_weight=3)
    layer = n.to_proto().layer[1]
    assert (layer.type, layer.param[0].lr_mult, list(layer.loss_weight)) == (
        "MyLayer",
        2,
        [3],
    )


def test_several_tops_make_one_net_without_repetitions():
    data = L.Input(shape={"dim": [1]})
    one, two = L.ReLU(data), L.TanH(data)
    assert [layer.name for layer in to_proto(one, two).layer] == [
        "Input1",
        "ReLU1",
        "TanH1",
    ]


def test_numbers_of_numpy_are_numbers():
    top = L.Convolution(
        L.Input(),
        num_output=np.int64(3),
        kernel_size=[np.int32(3), np.int64(5)],
        weight_filler={"type": "constant", "value": np.float32(0.5)},
    )
    options = to_proto(top).layer[1].convolution_param
    assert options.num_output == 3
    assert list(options.kernel_size) == [3, 5]
    assert options.weight_filler.value == 0.5


def test_messages_inside_messages_are_dictionaries_inside_dictionaries():
    top = L.LSTM(
        L.Input(),
        L.Input(),
        recurrent_param={"num_output": 5, "weight_filler": {"type": "xavier"}},
    )
    options = to_proto(top).layer[-1].recurrent_param
    assert (options.num_output, options.weight_filler.type) == (5, "xavier")


@pytest.mark.parametrize("import_of", ["caffe.net_spec", "caffe.coord_map"])
def test_nets_are_written_without_torch(import_of):
    code = f"import sys, {import_of}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
