"""Trained nets whose numbers stay in the file; protobuf's own parser is the witness."""

from __future__ import annotations

import errno
import io
import os
import threading

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe.errors import CaffeError, CheckError, FileError
from caffe.proto import caffe_pb2, files, stored, wire
from caffe.proto.blobs import to_array, values_of
from caffe.proto.stored import Numbers, opened_weights, serialise
from tests.fuzz.corpus import caffemodels

anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
floats = st.floats(width=32, allow_nan=False)
doubles = st.floats(allow_nan=False)
V1 = caffe_pb2.V1LayerParameter


def varying(values, tag):
    """Floats as fields of their own: not packed."""
    return b"".join(tag + value.tobytes() for value in values)


@st.composite
def blob_bytes(draw):
    """A BlobProto: packed, not packed, in pieces, of doubles, or of all these."""
    raw = b""
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["packed", "single", "double", "diff", "header"]))
        values = np.array(draw(st.lists(floats, max_size=4)), "<f4")
        if kind == "packed":
            raw += caffe_pb2.BlobProto(data=values).SerializeToString()
        elif kind == "single":
            raw += varying(values, bytes([5 << 3 | 5]))
        elif kind == "double":
            numbers = draw(st.lists(doubles, max_size=3))
            raw += caffe_pb2.BlobProto(double_data=numbers).SerializeToString()
        elif kind == "diff":
            raw += caffe_pb2.BlobProto(diff=values, double_diff=[1]).SerializeToString()
        else:
            dims = draw(st.lists(st.integers(0, 4), max_size=3))
            legacy = draw(st.booleans())
            message = caffe_pb2.BlobProto(shape={"dim": dims})
            if legacy:
                message.width = draw(st.integers(0, 9))
            raw += message.SerializeToString()
    return raw


def message_of(number, content):
    return wire.tag(number, wire.LENGTH) + wire.varint(len(content)) + content


@st.composite
def net_bytes(draw):
    """A net of today, V1 or V0, perhaps written in two pieces."""
    form = draw(st.sampled_from(["today", "v1", "v0"]))
    raw = caffe_pb2.NetParameter(name="net").SerializeToString()
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3)):
        found = draw(st.lists(blob_bytes(), max_size=2))
        if form == "today":
            head = caffe_pb2.LayerParameter(name=name, type="Power").SerializeToString()
            tail = caffe_pb2.LayerParameter(phase=1).SerializeToString()
            inside = b"".join(message_of(7, blob) for blob in found)
            raw += message_of(100, head + inside + tail)
        elif form == "v1":
            head = V1(name=name, type=V1.POWER).SerializeToString()
            raw += message_of(2, head + b"".join(message_of(6, blob) for blob in found))
        else:
            head = caffe_pb2.V0LayerParameter(name=name, type="relu")
            pieces = [head.SerializeToString(), *(message_of(50, b) for b in found)]
            raw += message_of(2, b"".join(message_of(1, piece) for piece in pieces))
    return raw


def shown(layers):
    """Names, shapes and values of stored layers, read at once and one by one."""
    found = []
    for layer in layers:
        for blob in layer.blobs:
            whole = blob.part(0, blob.count)
            singly = [blob.part(at, at + 1) for at in range(blob.count)]
            assert whole.dtype == np.float32
            assert np.array_equal(whole, np.concatenate([whole[:0], *singly]))
        blobs = [(b.header, b.part(0, b.count).tolist()) for b in layer.blobs]
        found.append((layer.name, blobs))
    return found


def expected(net):
    """Return the same of a NetParameter."""
    found = []
    for layer in net.layer:
        blobs = []
        for blob in layer.blobs:
            values = values_of(blob).tolist()
            for name in ("data", "diff", "double_data", "double_diff"):
                blob.ClearField(name)
            blobs.append((blob, values))
        found.append((layer.name, blobs))
    return found


def both(path):
    """What is read by messages and what in place; None where it is refused."""
    try:
        by_messages = expected(files.read_net_binary(path))
    except CaffeError:
        by_messages = None
    try:
        with opened_weights(path) as layers:
            in_place = shown(layers)
    except CaffeError:
        in_place = None
    return by_messages, in_place


@given(raw=net_bytes())
@anywhere
def test_any_net_is_read_as_protobuf_reads_it(raw, tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(raw)
    by_messages, in_place = both(path)
    assert in_place is not None
    assert in_place == by_messages


@given(raw=net_bytes(), data=st.data())
@anywhere
def test_a_damaged_net_is_refused_where_protobuf_refuses_it(raw, data, tmp_path):
    changed = bytearray(raw)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        changed[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.caffemodel"
    path.write_bytes(changed[: data.draw(st.integers(0, len(raw)))] or changed)
    by_messages, in_place = both(path)
    assert str(in_place) == str(by_messages)  # nan is nan


@pytest.mark.parametrize("name", sorted(caffemodels()))
def test_nets_of_every_version_cut_anywhere_are_refused_alike(name, tmp_path):
    whole = caffemodels()[name]
    path = tmp_path / "a.caffemodel"
    for end in range(1, len(whole) + 1):
        path.write_bytes(whole[:end])
        by_messages, in_place = both(path)
        assert in_place == by_messages


def test_errors_are_those_of_reading_the_whole(tmp_path):
    path = tmp_path / "a.caffemodel"
    for content in (b"", b"\x89PNG\0", b"text", b"\xa2\x06\x02", b"\x0a\x01n"):
        path.write_bytes(content)
        with pytest.raises(FileError) as whole:
            files.read_net_binary(path)
        with pytest.raises(FileError) as in_place, opened_weights(path):
            pass
        assert str(in_place.value) == str(whole.value)


@pytest.mark.parametrize("name", ["none", "a\0b", "."])
def test_what_cannot_be_opened_is_a_file_error(name, tmp_path):
    with (
        pytest.raises(FileError, match="cannot read it"),
        opened_weights(f"{tmp_path}/{name}"),
    ):
        pass


def test_freiburgs_numbers_are_recognised(tmp_path):
    pool = b"\x0a\x01p\x12\x07Pooling" + bytes.fromhex("ca070418032002")
    pool += message_of(7, caffe_pb2.BlobProto(data=[2.5]).SerializeToString())
    path = tmp_path / "a.caffemodel"
    path.write_bytes(message_of(100, pool))
    with opened_weights(path) as (layer,):
        assert layer.name == "p"
        assert layer.blobs[0].part(0, 1) == 2.5


def test_a_padding_layer_takes_its_blobs_with_it(tmp_path):
    net = caffe_pb2.NetParameter()
    for index, kind in enumerate(["padding", "conv"]):
        layer = net.layers.add(bottom=[f"x{index}"], top=[f"x{index + 1}"]).layer
        layer.name, layer.type = kind, kind
        layer.blobs.add(data=[index])
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net.SerializeToString())
    with opened_weights(path) as (layer,):
        assert (layer.name, layer.blobs[0].part(0, 1)) == ("conv", 1)


def test_a_net_from_a_pipe_is_read(tmp_path):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a", type="Power").blobs.add(data=[1, 2])
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(net.SerializeToString(),))
    writer.start()
    with opened_weights(path) as (layer,):
        assert layer.blobs[0].part(0, 2).tolist() == [1, 2]
    writer.join()


class TestChangesWhileOpen:
    @pytest.fixture
    def path(self, tmp_path):
        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="a", type="Power")
        layer.blobs.add(data=np.arange(100_000))
        path = tmp_path / "a.caffemodel"
        path.write_bytes(net.SerializeToString())
        return path

    def test_a_file_that_is_removed_can_still_be_read(self, path):
        with opened_weights(path) as (layer,):
            path.unlink()
            assert layer.blobs[0].part(99_000, 99_001) == 99_000

    def test_a_file_that_is_replaced_is_read_as_it_was(self, path):
        other = path.with_name("other")
        other.write_bytes(b"other")
        with opened_weights(path) as (layer,):
            other.replace(path)
            assert layer.blobs[0].part(99_000, 99_001) == 99_000

    def test_a_file_that_is_cut_short_is_named(self, path):
        with opened_weights(path) as (layer,):
            os.truncate(path, 50)
            with pytest.raises(FileError) as caught:
                layer.blobs[0].part(0, 100_000)
        assert str(caught.value) == (
            f"{path}: cannot read it: it became shorter while its weights were being "
            "loaded; some are loaded already"
        )

    def test_a_disk_that_fails_is_named(self):
        class Failing(io.BytesIO):
            name = "w.caffemodel"

            def readinto(self, buffer):
                raise OSError(errno.EIO, "Input/output error")

        raw = caffe_pb2.BlobProto(data=[1]).SerializeToString()
        blob = stored.find(Failing(raw), 0, len(raw))
        with pytest.raises(FileError, match=r"^w\.caffemodel: .*Input/output error"):
            blob.part(0, 1)

    def test_a_disk_that_fails_before_is_named(self, path, monkeypatch):
        def fail(*arguments):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(wire, "divide", fail)
        with pytest.raises(FileError) as caught, opened_weights(path):
            pass
        assert str(caught.value) == f"{path}: cannot read it: Input/output error"


shapes = st.lists(st.integers(0, 3), max_size=5).map(tuple)


class TestSerialise:
    @given(
        shapes=st.lists(shapes, max_size=4), diff=st.booleans(), many=st.integers(0, 3)
    )
    def test_bytes_are_protobufs(self, shapes, diff, many):
        net, numbers = caffe_pb2.NetParameter(name="n"), []
        net.MergeFromString(message_of(2000, b"unknown"))
        for index, shape in enumerate(shapes):
            layer = net.layer.add(name="x" * 40 * index, type="Power", phase=1)
            layer.MergeFromString(message_of(3000, b"unknown, too"))
            layer.power_param.scale = index
            for _ in range(many):
                values = np.arange(1, np.prod(shape) + 1, dtype="f4").reshape(shape)
                layer.blobs.add(shape={"dim": shape})
                both = (self.later(values), self.later(-values) if diff else None)
                numbers.append((values, both))
        found = b"".join(serialise(net, wire.NET, [both for _, both in numbers]))
        blobs = [blob for layer in net.layer for blob in layer.blobs]
        for blob, (values, _) in zip(blobs, numbers, strict=True):
            blob.data.extend(values.ravel())
            blob.diff.extend(-values.ravel() if diff else [])
        assert found == net.SerializeToString()

    def later(self, values):
        return Numbers(values.size, lambda: values)

    def test_numbers_in_another_order_in_memory_are_written_by_rows(self):
        values = np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3))
        state = caffe_pb2.SolverState(iter=3, history=[{"shape": {"dim": [2, 3]}}])
        parts = serialise(state, wire.SOLVER_STATE, [(self.later(values), None)])
        read = caffe_pb2.SolverState.FromString(b"".join(parts))
        assert to_array(read.history[0]).tolist() == values.tolist()

    def test_numbers_are_made_when_it_is_their_turn(self):
        made = []

        def make(index):
            made.append(index)
            return np.zeros(1)

        vector = caffe_pb2.BlobProtoVector(blobs=[{}, {}])
        numbers = [(Numbers(1, lambda i=i: make(i)), None) for i in range(2)]
        counts = [len(made) for _ in serialise(vector, {1: None}, numbers)]
        assert made == [0, 1]
        assert counts[0] == 0
        assert 1 in counts


@pytest.mark.parametrize("tag", [b"\x2a", b"\x32", b"\x42", b"\x4a"])
def test_a_part_of_a_number_is_refused(tag, tmp_path):
    raw = tag + b"\x03abc"
    with pytest.raises(DecodeError):
        caffe_pb2.BlobProto.FromString(raw)
    path = tmp_path / "raw"
    path.write_bytes(raw)
    with path.open("rb") as file, pytest.raises(DecodeError, match="cut short"):
        stored.find(file, 0, len(raw))


def test_an_old_net_that_cannot_be_upgraded_is_named(tmp_path):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a")
    net.layers.add(name="b")
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net.SerializeToString())
    refused = pytest.raises(CheckError, match=rf"^{path}: .*both 'layer' and old")
    with refused, opened_weights(path):
        pass
