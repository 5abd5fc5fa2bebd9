"""Binary nets of Freiburg's build, told from BVLC's by their numbers."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from caffe.proto import caffe_pb2
from caffe.proto.binary import parse_binary
from caffe.proto.files import read_net_binary

# Part of Freiburg's schema: fields as "label type name number".
SCHEMA = {
    "NetParameter": "o string name 1, r LayerParameter layer 100",
    "LayerParameter": (
        "o string name 1, o string type 2, r string bottom 3, r string top 4, "
        "r BlobProto blobs 7, o PoolingParameter pooling_param 121, "
        "o CreateDeformationParameter create_deformation_param 145, "
        "o ApplyDeformationParameter apply_deformation_param 146, "
        "o ParameterParameter parameter_param 147, "
        "o RecurrentParameter recurrent_param 148, "
        "o ValueTransformationParameter value_transformation_param 150, "
        "o SwishParameter swish_param 153, o ClipParameter clip_param 154"
    ),
    "BlobProto": "r float data 5, o BlobShape shape 7",
    "BlobShape": "r int64 dim 1",
    "VectorFloat": "r float v 1",
    "PoolingParameter": (
        "o int32 pool 1, r uint32 pad 2, r uint32 kernel_size 3, r uint32 stride 4, "
        "o uint32 pad_h 5, o uint32 pad_w 6, o uint32 kernel_h 7, o uint32 kernel_w 8, "
        "o uint32 stride_h 9, o uint32 stride_w 10, o bool global_pooling 12, "
        "o int32 axis 13, o int32 round_mode 14"
    ),
    "CreateDeformationParameter": (
        "o uint32 ny 4, o uint32 nx 5, o VectorFloat random_rotate_to 10"
    ),
    "ApplyDeformationParameter": (
        "o string interpolation 1, o string extrapolation 2, "
        "o string output_shape_from 3"
    ),
    "ParameterParameter": "o BlobShape shape 1",
    "RecurrentParameter": "o uint32 num_output 1",
    "ValueTransformationParameter": "o VectorFloat offset 1",
    "SwishParameter": "o float beta 1",
    "ClipParameter": "o float min 1, o float max 2",
}


def freiburg_net() -> Any:
    """Return an empty net of Freiburg's build."""
    file = descriptor_pb2.FileDescriptorProto(name="freiburg.proto", package="caffe")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for item in fields.split(", "):
            label, kind, field, number = item.split()
            entry = message.field.add(name=field, number=int(number))
            entry.label = kinds.LABEL_REPEATED if label == "r" else kinds.LABEL_OPTIONAL
            if kind in SCHEMA:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    kind = pool.FindMessageTypeByName("caffe.NetParameter")
    return message_factory.GetMessageClass(kind)(name="net")


def read_back(net: Any, tmp_path) -> Any:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    return read_net_binary(path)


def test_a_net_of_freiburgs_build_is_read_by_its_own_numbers(tmp_path):
    net = freiburg_net()
    pool = net.layer.add(name="pool", type="Pooling", bottom=["a"], top=["b"])
    pool.pooling_param.kernel_size.extend([1, 2, 2])
    pool.pooling_param.stride.extend([1, 2, 2])
    pool.pooling_param.axis = 1
    create = net.layer.add(name="def", type="CreateDeformation")
    create.create_deformation_param.nx = 540
    create.create_deformation_param.random_rotate_to.v.extend([360])
    apply = net.layer.add(name="apply", type="ApplyDeformation")
    apply.apply_deformation_param.interpolation = "nearest"
    value = net.layer.add(name="value", type="ValueTransformation")
    value.value_transformation_param.offset.v.extend([-0.5])
    blob = net.layer.add(name="conv", type="Convolution").blobs.add(data=[1.5, 2.5])
    blob.shape.dim.extend([1, 2])

    found = read_back(net, tmp_path)

    assert found.DESCRIPTOR is caffe_pb2.NetParameter.DESCRIPTOR
    layers = {layer.name: layer for layer in found.layer}
    assert list(layers) == ["pool", "def", "apply", "value", "conv"]
    pooling = layers["pool"].pooling_param
    assert (list(layers["pool"].bottom), list(layers["pool"].top)) == (["a"], ["b"])
    assert list(pooling.kernel_size) == [1, 2, 2]
    assert list(pooling.stride) == [1, 2, 2]
    assert pooling.HasField("axis")
    assert not pooling.HasField("round_mode")
    assert layers["def"].create_deformation_param.nx == 540
    assert list(layers["def"].create_deformation_param.random_rotate_to.v) == [360]
    assert layers["apply"].apply_deformation_param.interpolation == "nearest"
    assert list(layers["value"].value_transformation_param.offset.v) == [-0.5]
    assert list(layers["conv"].blobs[0].shape.dim) == [1, 2]
    assert list(layers["conv"].blobs[0].data) == [1.5, 2.5]


def freiburg_layer(kind: str, **fields: Any) -> Any:
    """Return a net of Freiburg's build with one layer of a kind."""
    net = freiburg_net()
    layer = net.layer.add(name="x", type=kind)
    for name, value in fields.items():
        part = getattr(layer, name)
        part.MergeFrom(type(part)(**value))
    return net


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("Parameter", "parameter_param", {"shape": {"dim": [4]}}),
        ("RNN", "recurrent_param", {"num_output": 7}),
        ("LSTM", "recurrent_param", {"num_output": 7}),
        ("Swish", "swish_param", {"beta": 0.5}),
        ("Clip", "clip_param", {"min": -1, "max": 1}),
        ("CreateDeformation", "create_deformation_param", {"ny": 5}),
        ("ApplyDeformation", "apply_deformation_param", {"extrapolation": "zero"}),
        ("Pooling", "pooling_param", {"kernel_size": [2], "stride": [2]}),
        ("Pooling", "pooling_param", {"pad": [1], "kernel_size": [3], "stride": [2]}),
        ("Pooling", "pooling_param", {"kernel_h": 3, "kernel_w": 2}),
        (
            "Pooling",
            "pooling_param",
            {"kernel_size": [2], "stride_h": 2, "stride_w": 1},
        ),
        (
            "Pooling",
            "pooling_param",
            {"pad": [1], "kernel_size": [3], "round_mode": 1},
        ),
    ],
)
def test_one_layer_that_only_freiburg_could_have_written_is_enough(
    kind, field, value, tmp_path
):
    net = freiburg_layer(kind, **{field: value})
    (layer,) = read_back(net, tmp_path).layer
    expected = caffe_pb2.LayerParameter(name="x", type=kind)
    part = getattr(expected, field)
    part.MergeFrom(type(part)(**value))
    assert layer == expected


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("Parameter", "parameter_param", {"shape": {"dim": [4]}}),
        ("LSTM", "recurrent_param", {"num_output": 7}),
        ("Swish", "swish_param", {"beta": 0.5}),
        ("Clip", "clip_param", {"min": -1, "max": 1}),
        ("CreateDeformation", "create_deformation_param", {"ny": 5}),
        ("ApplyDeformation", "apply_deformation_param", {"extrapolation": "zero"}),
        ("Pooling", "pooling_param", {"kernel_size": [2], "stride": [2]}),
        ("Pooling", "pooling_param", {"pad": [1], "kernel_size": [3], "stride": [2]}),
        ("Pooling", "pooling_param", {"kernel_size": [1], "stride": [2]}),
        ("Pooling", "pooling_param", {"kernel_h": 3, "kernel_w": 2, "pad_h": 1}),
        ("Pooling", "pooling_param", {"global_pooling": True}),
        ("Pooling", "pooling_param", {"kernel_size": [1, 2, 2], "axis": 1}),
        ("Pooling", "pooling_param", {"kernel_size": [3], "round_mode": 1}),
        ("Pooling", "pooling_param", {}),
        ("Swish", "relu_param", {}),
    ],
)
def test_what_is_written_with_the_schemas_numbers_reads_back_unchanged(
    kind, field, value, tmp_path
):
    net = caffe_pb2.NetParameter(name="net")
    layer = net.layer.add(name="x", type=kind)
    part = getattr(layer, field)
    part.MergeFrom(type(part)(**value))
    assert read_back(net, tmp_path) == net


def test_bytes_that_no_build_wrote_do_not_parse():
    with pytest.raises(DecodeError):
        parse_binary(b"\xa2\x06\x05\x0a\x09abc")
