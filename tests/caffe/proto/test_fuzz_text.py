"""Whatever a text file holds, reading it gives a message or a line on the fault."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe.errors import CaffeError, FileError, PrototxtError
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net, read_solver
from caffe.proto.text import parse_text, read_text, to_text

WORDS = [
    *(
        "layer",
        "layers",
        "name:",
        "type:",
        "bottom:",
        "top:",
        "include",
        "phase: TRAIN",
    ),
    *("convolution_param", "weight_filler", "input_dim:", "input:", "blobs", "shape"),
    *("dim:", "{", "}", "<", ">", "[", "]", ",", ";", ":", "#", "\n", "'", '"', "\\"),
    *("CROP", "DATA", '"a"', "'b'", "-1", "0x7fffffff", "9" * 30, "1e999", "nan"),
    *("9223372036854775807", "4294967296", "true", "net_param", "solver_type: ADAM"),
]
SOUND = """name: "n" input: "a" input_shape { dim: 1 dim: 2 }
layers { name: "c" type: CONVOLUTION bottom: "a" top: "c" blobs_lr: 1
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "k" type: CROP bottom: "c" bottom: "a" top: "k" }
"""
anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(path) -> None:
    """Read as net and as solver: nothing but errors of one line may come out."""
    faults = []
    for read in (read_net, read_solver):
        try:
            to_text(read(path))
        except CaffeError as error:
            faults.append(error)
    assert all(str(path) in str(fault) for fault in faults)
    assert all(len(str(fault)) <= fault.longest + len(str(path)) for fault in faults)


@given(words=st.lists(st.sampled_from(WORDS), max_size=30))
@anywhere
def test_words_of_nets_in_any_order(words, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(" ".join(words))
    check(path)


@given(raw=st.binary(max_size=300))
@anywhere
def test_any_bytes(raw, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(raw)
    check(path)


@given(
    start=st.integers(0, len(SOUND)),
    length=st.integers(0, 40),
    new=st.one_of(st.text(max_size=20), st.sampled_from(WORDS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
@anywhere
def test_a_sound_net_with_a_piece_replaced(start, length, new, encoding, tmp_path):
    path = tmp_path / "net.prototxt"
    text = SOUND[:start] + new + SOUND[start + length :]
    path.write_bytes(text.encode(encoding, "replace"))
    check(path)


@pytest.mark.parametrize(
    "raw",
    [
        b'name: "' + b'\\"' * 100_000 + b"\xff",
        b"'\\" * 100_000 + b"\xff",
        b"layer {" * 100_000,
        b"input: [" * 100_000,
        b"input_dim: " + b"[" * 100_000,
        b"input_dim: " + b"-" * 100_000,
        b"input_dim: " + b"9" * 100_000,
        b"input_dim: 0x" + b"f" * 100_000,
        b"a" * 100_000 + b": 1",
        b"state { phase: " + b"a" * 100_000 + b" }",
        b'name: "\\377"',
        b'name: "\\ud800"',
        b'name: "\\x"',
        b"[type.googleapis.com/caffe.NetParameter] { }",
        'name: "x"'.encode("utf-16"),
        b'name: "a\0b"',
    ],
    ids=range(16),
)
def test_what_would_take_long_or_much_memory_is_refused_at_once(raw, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(raw)
    start = time.process_time()
    with pytest.raises(FileError) as caught:
        read_text(path, caffe_pb2.NetParameter())
    # What takes a step for each pair of characters would take hours here.
    assert time.process_time() - start < 60
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    "text",
    [
        "loss_weight: " + "9" * 100_000,
        "loss_weight: 1e" + "9" * 10_000,
        "# " + "\\" * 100_000,
        "name: " + '"a" ' * 10_000,
        "\n" * 100_000,
    ],
)
def test_what_is_long_but_sound_is_read(text):
    parse_text(text, caffe_pb2.LayerParameter())


def test_a_long_chain_before_a_crop_is_followed(tmp_path):
    chain = "".join(
        f'layers {{ name: "r{i}" type: RELU bottom: "a{i}" top: "a{i + 1}" }}\n'
        for i in range(3000)
    )
    path = tmp_path / "net.prototxt"
    path.write_text(
        f'input: "a0" {chain} '
        'layers { name: "c" type: CROP bottom: "a3000" bottom: "a0" top: "c" }'
    )
    assert list(read_net(path).layer[-1].crop_param.offset) == [0]


def test_a_long_word_is_shortened_in_the_middle():
    with pytest.raises(PrototxtError, match=r"no field 'aaa.* \.\.\. .*one of name"):
        parse_text("a" * 5000 + ": 1", caffe_pb2.ParamSpec())
