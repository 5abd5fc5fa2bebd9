"""The wire format: what protobuf's own writer and parser say is the witness."""

from __future__ import annotations

import io

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from caffe.proto import caffe_pb2, wire

BLOB = caffe_pb2.BlobProto(num=3, data=[1, 2], shape={"dim": [2]}, double_diff=[5])
GROUP = bytes([5 << 3 | 3]) + b"\x0a\x01x" + bytes([5 << 3 | 4])


def fields_of(raw):
    return list(wire.fields(io.BytesIO(raw), 0, len(raw)))


def divided(raw, places, take):
    return b"".join(wire.divide(io.BytesIO(raw), 0, len(raw), places, take))


@given(st.integers(0, 2**31 - 1))
def test_a_varint_is_protobufs(number):
    raw = caffe_pb2.BlobProto(num=number).SerializeToString()
    assert raw == wire.tag(1, wire.VARINT) + wire.varint(number)


def test_fields_lie_where_protobuf_wrote_them():
    raw = BLOB.SerializeToString()
    found = {field.number: raw[field.start : field.end] for field in fields_of(raw)}
    assert found == {
        1: b"\x03",
        5: b"\0\0\x80\x3f\0\0\0\x40",
        7: BLOB.shape.SerializeToString(),
        9: b"\0\0\0\0\0\0\x14\x40",
    }
    assert [field.size for field in fields_of(raw)] == [1, 8, 3, 8]


def test_groups_are_passed_over_and_kept():
    raw = GROUP + b"\x3d\1\2\3\4" + bytes([5 << 3 | 3]) + GROUP + bytes([5 << 3 | 4])
    assert [field.number for field in fields_of(raw)] == [7]
    assert divided(raw, {1: None}, lambda field: []) == raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x0a", "does not end"),
        (b"\x0a\x02x", "cut short"),
        (b"\x0d\x00\x00\x00", "cut short"),
        (b"\x09\x00", "cut short"),
        (b"\x08\xff", "does not end"),
        (b"\x08" + b"\xff" * 11, "does not end"),
        (b"\xff" * 6, "does not end"),
        (b"\x0a" + b"\xff" * 6, "does not end"),
        (b"\x00\x00", "no field"),
        (b"\x0e", "no field"),
        (b"\x0f", "no field"),
        (b"\xff\xff\xff\xff\x7f", "no field"),
        (b"\x0c", "did not begin"),
        (b"\x0b", "does not end"),
        (b"\x0b\x14", "did not begin"),
    ],
)
def test_what_is_no_message_is_refused_as_protobuf_does(raw, reason):
    with pytest.raises(DecodeError):
        caffe_pb2.NetState.FromString(raw)
    with pytest.raises(DecodeError, match=reason):
        fields_of(raw)


@given(st.binary(max_size=40))
def test_of_any_bytes_no_more_is_refused_than_protobuf_refuses(raw):
    try:
        fields_of(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            caffe_pb2.BlobShape.FromString(raw)


def test_a_file_that_ends_early_is_refused():
    with pytest.raises(DecodeError, match="the file ends at byte 2"):
        wire.read(io.BytesIO(b"ab"), 1, 4)


def test_all_blobs_of_a_net_are_found_and_lengths_follow():
    net = caffe_pb2.NetParameter(name="n")
    net.layer.add(name="a", blobs=[BLOB, BLOB], type="ReLU")
    old = net.layers.add(name="b", blobs=[BLOB])
    old.layer.blobs.add().CopyFrom(BLOB)
    old.layer.name = "c"
    raw, taken = net.SerializeToString(), []

    def take(field):
        taken.append(raw[field.start : field.end])
        return [caffe_pb2.BlobProto(num=1000, width=len(taken)).SerializeToString()]

    changed = caffe_pb2.NetParameter.FromString(divided(raw, wire.NET, take))
    assert taken == [BLOB.SerializeToString()] * 4
    blobs = [
        *changed.layers[0].layer.blobs,
        *changed.layers[0].blobs,
        *changed.layer[0].blobs,
    ]
    assert sorted(blob.width for blob in blobs) == [1, 2, 3, 4]
    for blob in blobs:
        blob.CopyFrom(BLOB)
    assert changed == net
