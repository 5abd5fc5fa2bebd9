"""Whatever a binary file holds, reading it gives a message or a `CaffeError`."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe.errors import CaffeError, CheckError, FileError
from caffe.proto import caffe_pb2
from caffe.proto.blobs import same_shape, shape_of, to_array
from caffe.proto.files import read_net_binary
from caffe.proto.text import to_text
from tests.fuzz.corpus import caffemodels

NETS = caffemodels()
anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(raw, tmp_path):
    """Read bytes as a net; None if they are refused, as they may be."""
    path = tmp_path / "a.caffemodel"
    path.write_bytes(raw)
    with suppress(CaffeError):
        return read_net_binary(path, crop="coordinate_maps")
    return None


@pytest.mark.parametrize("name", ["v0", "v1", "v2"])
def test_nets_of_every_version_cut_anywhere(name, tmp_path):
    whole = NETS[name]
    assert read(whole, tmp_path).layer
    for end in range(len(whole)):
        read(whole[:end], tmp_path)


@pytest.mark.parametrize("name", sorted(NETS))
@given(data=st.data())
@anywhere
def test_nets_of_every_version_with_some_bytes_changed(name, tmp_path, data):
    raw = bytearray(NETS[name])
    places = st.integers(0, len(raw) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    net = read(bytes(raw), tmp_path)
    if net is not None:
        to_text(net)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xa2\x06" * 50_000,
        b"\x0b" * 50_000,
        b"\x00" * 1000,
        b"\x12\x07\x0a\x05\x0a\x01a\x12\x00",
    ],
    ids=["length", "longer", "nesting", "groups", "zeros", "no type"],
)
def test_lengths_and_nestings_that_cannot_be_are_refused(raw, tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(raw)
    with pytest.raises(CheckError):
        read_net_binary(path)


@pytest.mark.parametrize("field", [16, 18])
def test_a_source_of_an_old_layer_that_is_not_utf8_is_refused(field, tmp_path):
    old = b"\x0a\x01a\x12\x04data" + bytes([(field << 3 | 2) & 0x7F | 0x80, field >> 4])
    old += b"\x01\xff"
    layers = b"\x0a" + bytes([len(old)]) + old
    path = tmp_path / "a.caffemodel"
    path.write_bytes(b"\x12" + bytes([len(layers)]) + layers)
    with pytest.raises(FileError):
        read_net_binary(path)


extents = st.one_of(st.integers(-3, 5), st.sampled_from([2**31, 2**62, -(2**63)]))


@given(
    dims=st.lists(extents, max_size=40),
    values=st.integers(0, 30),
    wanted=st.lists(st.integers(0, 4), max_size=5),
    double=st.booleans(),
)
def test_blobs_of_any_shape_become_arrays_of_it_or_are_refused(
    dims, values, wanted, double
):
    blob = caffe_pb2.BlobProto(shape={"dim": dims})
    (blob.double_data if double else blob.data).extend([1e30] * values)
    try:
        array = to_array(blob)
        same = same_shape(tuple(wanted), blob)
    except CheckError:
        return
    assert array.shape == tuple(dims)
    assert same == (wanted == dims)


@given(dims=st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_blobs_of_the_old_shape_do_too(dims):
    num, channels, height, width = dims
    blob = caffe_pb2.BlobProto(num=num, channels=channels, height=height, width=width)
    blob.data.extend([1] * abs(int(np.prod(dims))))
    if min(dims) < 0:
        with pytest.raises(CheckError, match="0 or more"):
            to_array(blob)
    else:
        assert to_array(blob).shape == tuple(dims)


def test_more_than_32_axes_are_refused():
    with pytest.raises(CheckError, match="33 axes; expected at most 32"):
        shape_of(caffe_pb2.BlobProto(shape={"dim": [1] * 33}))


def test_doubles_beyond_the_floats_are_infinite():
    blob = caffe_pb2.BlobProto(double_data=[1e300, -1e300], shape={"dim": [2]})
    assert to_array(blob).tolist() == [np.inf, -np.inf]


def test_no_numbers_of_extents_beyond_counting_are_refused():
    with pytest.raises(CheckError, match="can't have shape"):
        to_array(caffe_pb2.BlobProto(shape={"dim": [0, 2**62]}))
