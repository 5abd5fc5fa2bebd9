"""Text to messages and back, and what is said about text that is wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe.errors import FileError, PrototxtError
from caffe.proto import caffe_pb2
from caffe.proto.text import parse_text, read_text, to_text

UPGRADED = sorted(
    (Path(__file__).parents[2] / "reference" / "upgrade").glob("v*.upgraded.prototxt")
)


def parse_net(text: str):
    return parse_text(text, caffe_pb2.NetParameter(), name="net.prototxt")


@pytest.mark.parametrize("path", UPGRADED, ids=lambda path: path.name)
def test_a_net_is_printed_as_the_original_prints_it(path):
    assert to_text(read_text(path, caffe_pb2.NetParameter())) == path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "layer { include: { phase: TRAIN } }",
        "layer < include { phase: 0 } >",
        "layer { include { phase: TRAIN }; }  # only in training",
    ],
)
def test_forms_that_caffes_users_write_are_read(text):
    (layer,) = parse_net(text).layer
    assert layer.include[0].phase == caffe_pb2.TRAIN


def test_numbers_are_read_in_every_form_of_protobuf_text():
    net = parse_net(
        "input_dim: 1, input_dim: 0x10; input_dim: [3, 4] input_dim: -1 "
        "layer { loss_weight: 0. loss_weight: .5 loss_weight: 1e-3f loss_weight: -2 "
        "loss_weight: inf } force_backward: True"
    )
    assert list(net.input_dim) == [1, 16, 3, 4, -1]
    expected = [0, 0.5, 0.001, -2, math.inf]
    assert list(net.layer[0].loss_weight) == pytest.approx(expected)
    assert net.force_backward


def test_strings_in_pieces_and_either_quotes_are_joined():
    assert parse_net('name: "unet" \'_v1\' "\\x41"').name == "unet_v1A"


def test_pooling_takes_one_kernel_size_or_one_per_axis():
    net = parse_net(
        "layer { pooling_param { kernel_size: 2 } }"
        "layer { pooling_param { kernel_size: 1 kernel_size: 2 kernel_size: 2 } }"
    )
    sizes = [list(layer.pooling_param.kernel_size) for layer in net.layer]
    assert sizes == [[2], [1, 2, 2]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'layer {\n  name: "c"\n  convolution_param {\n    kernal_size: 3 } }',
            "net.prototxt:4:5: no field 'kernal_size' in ConvolutionParameter; "
            "did you mean kernel_size?",
        ),
        (
            "foo: 1",
            "net.prototxt:1:1: no field 'foo' in NetParameter; expected one of name, "
            "layers, "
            "input, input_dim, force_backward, state, debug_info, input_shape, layer, "
            "engine, compile_net_state, multinode, default_forward_type, "
            "default_backward_type, default_forward_math, default_backward_math, ... "
            "(see caffe.proto)",
        ),
        (
            "layer {\n pooling_param { pool: MEDIAN } }",
            "net.prototxt:2:24: no value MEDIAN in PoolingParameter.PoolMethod; "
            "expected one of MAX, AVE, STOCHASTIC",
        ),
        (
            "layer { include { phase: train } }",
            "net.prototxt:1:26: no value train in Phase; did you mean TRAIN?",
        ),
        (
            'layer { include { phase: "TRAIN" } }',
            'net.prototxt:1:26: no value "TRAIN" in Phase; did you mean TRAIN?',
        ),
        (
            "state { phase: 7 }",
            "net.prototxt:1:16: no value 7 in Phase; expected one of TRAIN, TEST",
        ),
        (
            'name: "a"\nname: "b"',
            "net.prototxt:2:7: field 'name' of NetParameter is given twice; "
            "expected once",
        ),
        (
            "layer { pooling_param { }\n pooling_param { } }",
            "net.prototxt:2:16: field 'pooling_param' of LayerParameter is given "
            "twice; expected once",
        ),
        ("input_dim: 3.5", "net.prototxt:1:12: couldn't parse integer: 3.5"),
        ("name: unet", "net.prototxt:1:7: expected string but found: 'unet'"),
        ("layer {", 'net.prototxt:1:7: expected "}"'),
    ],
)
def test_wrong_text_is_named_by_line_and_column_with_what_is_accepted(text, expected):
    with pytest.raises(PrototxtError) as caught:
        parse_net(text)
    assert str(caught.value) == expected


def test_a_long_list_of_accepted_names_is_cut():
    with pytest.raises(PrototxtError, match=r"one of name, .* \(see caffe.proto\)$"):
        parse_net("layer { zzz: 1 }")


def test_a_required_field_that_is_missing_is_named():
    with pytest.raises(PrototxtError) as caught:
        parse_net("layer { clip_param { min: 1 } }")
    expected = "net.prototxt: layer[0].clip_param.max: not given; must be given"
    assert str(caught.value) == expected


def test_a_file_is_named_in_the_error(tmp_path):
    path = tmp_path / "wrong.prototxt"
    path.write_text("layers {\n  typ: RELU\n}\n")
    with pytest.raises(PrototxtError) as caught:
        read_text(path, caffe_pb2.NetParameter())
    assert str(caught.value) == (
        f"{path}:2:3: no field 'typ' in V1LayerParameter; did you mean type?"
    )


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbfname: 'n'")
    assert read_text(path, caffe_pb2.NetParameter()).name == "n"


def test_comments_may_be_in_another_encoding(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"# gr\xfcn\nname: 'n#1' # \xd6\xd0\nforce_backward: true")
    net = read_text(path, caffe_pb2.NetParameter())
    assert (net.name, net.force_backward) == ("n#1", True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\n\x03net\x00\x01", ": is a binary file; expected a text file"),
        (
            b"# gr\xfcn\nname: '#gr\xfcn'",
            ":2: byte 0xfc is not UTF-8 text; expected a text file in UTF-8",
        ),
    ],
)
def test_a_file_that_is_not_text_is_refused(tmp_path, content, expected):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_text(path, caffe_pb2.NetParameter())
    assert str(caught.value) == f"{path}{expected}"


def test_a_file_that_is_missing_is_named(tmp_path):
    path = tmp_path / "none.prototxt"
    with pytest.raises(FileError) as caught:
        read_text(path, caffe_pb2.NetParameter())
    assert str(caught.value) == f"{path}: cannot read it: No such file or directory"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1"),
        (0.1, "0.1"),
        (1 / 256, "0.00390625"),
        (1e-5, "1e-05"),
        (1e6, "1e+06"),
        (0.3333333, "0.3333333"),
        (16777216.0, "16777216"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_floats_are_printed_with_the_fewest_digits_that_read_back(value, expected):
    assert to_text(caffe_pb2.ParamSpec(lr_mult=value)) == f"lr_mult: {expected}\n"


def test_doubles_keep_all_their_digits():
    text = to_text(caffe_pb2.BlobProto(double_data=[1 / 3]))
    assert text == "double_data: 0.3333333333333333\n"


def test_strings_are_escaped_as_the_original_does():
    message = caffe_pb2.NetParameter(name='a"\n\\é')
    assert to_text(message) == 'name: "a\\"\\n\\\\\\303\\251"\n'


FLOATS = st.floats(width=32, allow_nan=False)


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])),
    floats=st.lists(FLOATS),
    doubles=st.lists(st.floats(allow_nan=False)),
    dims=st.lists(st.integers(-(2**63), 2**63 - 1)),
    raw=st.binary(),
    flag=st.booleans(),
)
def test_what_is_printed_reads_back_equal(name, floats, doubles, dims, raw, flag):
    net = caffe_pb2.NetParameter(name=name, force_backward=flag)
    blob = net.layer.add(name=name).blobs.add(data=floats, double_data=doubles)
    blob.shape.dim.extend(dims)
    datum = caffe_pb2.Datum(data=raw, encoded=flag)
    assert parse_net(to_text(net)) == net
    assert parse_text(to_text(datum), caffe_pb2.Datum()) == datum


class TestEscapes:
    @pytest.mark.parametrize(
        ("text", "place", "escape"),
        [
            (r'name: "C:\data\new"', "1:10", r"\d"),
            (r'name: "C:\Users\x"', "1:10", r"\U"),
            ("# \\q is fine here\nname: 'a\\\\\\q'", "2:11", r"\q"),
            (r'name: "\x"', "1:8", r"\x"),
            (r'name: "\ud800"', "1:8", r"\u"),
            (r'name: "\N{DIGIT ONE}"', "1:8", r"\N"),
            (r'name: "\400"', "1:8", r"\4"),
        ],
    )
    def test_what_protobuf_does_not_know_is_refused_where_it_stands(
        self, text, place, escape
    ):
        """C++ protobuf: Invalid escape sequence in string literal."""
        with pytest.raises(PrototxtError) as caught:
            parse_text(text, caffe_pb2.NetParameter())
        start = f"<text>:{place}: invalid escape sequence '{escape}' in a string"
        assert str(caught.value).startswith(start)
        assert r"expected \\ for a backslash, or / in a path" in str(caught.value)

    def test_a_path_that_ends_in_a_backslash_is_refused(self):
        with pytest.raises(PrototxtError, match=r"escape sequence|ending quote"):
            parse_text('name: "D:\\"\nlayer { }', caffe_pb2.NetParameter())

    def test_what_protobuf_knows_is_read(self):
        net = parse_text(
            r"""name: "\101\x41\n\t\\\"\'\303\251\u00e9\U0001F600\0" # C:\data """,
            caffe_pb2.NetParameter(),
        )
        assert net.name == "AA\n\t\\\"'éé\U0001f600\0"
