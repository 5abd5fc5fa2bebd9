"""Blobs of NVIDIA's files have their numbers as raw bytes."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe.errors import CheckError
from caffe.proto import blobs, caffe_pb2, wire

TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # of NVIDIA's enum Type
VALUES = np.array([[1.5, -2, 0.25]])


def raw_blob(number, values=VALUES, *, name="data"):
    """Write a BlobProto with NVIDIA's numbers, by hand."""
    type_field, field = (10, 12) if name == "data" else (11, 13)
    data = values.astype(TYPES.get(number, "<i4")).tobytes()
    shape = caffe_pb2.BlobProto(shape={"dim": values.shape}).SerializeToString()
    of_type = wire.tag(type_field, wire.VARINT) + wire.varint(number)
    return (
        shape + of_type + wire.tag(field, wire.LENGTH) + wire.varint(len(data)) + data
    )


@pytest.mark.parametrize("number", TYPES)
def test_they_are_read_in_any_precision(number):
    blob = caffe_pb2.BlobProto.FromString(raw_blob(number))
    assert blobs.to_array(blob).tolist() == VALUES.tolist()
    blob = caffe_pb2.BlobProto.FromString(raw_blob(number, name="diff"))
    assert blobs.to_array(blob, diff=True).tolist() == VALUES.tolist()


def test_a_trained_net_is_loaded(tmp_path):
    net = caffe.Net(
        caffe.parse_net("""
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 bias_term: false } }"""),
        caffe.TEST,
    )
    layer = caffe_pb2.LayerParameter(name="ip", type="InnerProduct")
    raw = raw_blob(2)
    written = layer.SerializeToString() + wire.tag(7, wire.LENGTH)
    written += wire.varint(len(raw)) + raw
    path = tmp_path / "net.caffemodel"
    path.write_bytes(wire.tag(100, wire.LENGTH) + wire.varint(len(written)) + written)
    net.copy_from(path)
    assert net.params["ip"][0].data.tolist() == VALUES.tolist()


def test_numbers_of_other_types_and_broken_ones_are_refused():
    with pytest.raises(CheckError, match="type INT: expected one of DOUBLE, FLOAT"):
        blobs.to_array(caffe_pb2.BlobProto.FromString(raw_blob(3)))
    blob = caffe_pb2.BlobProto(raw_data=b"123", raw_data_type=caffe_pb2.FLOAT16)
    with pytest.raises(CheckError, match="3 bytes of raw numbers of type FLOAT16"):
        blobs.to_array(blob)
