"""Text of a ``.proto`` file, read as protoc reads it."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

import caffe.proto
from caffe.errors import PrototxtError
from caffe.proto.declarations import parse_declarations

SCHEMA = Path(caffe.proto.__file__).with_name("caffe.proto")
ODD = """
syntax = "proto2";  /* a comment
over lines */
package caffe;
message A {
  reserved 4, 9 to 11;
  message Inner { optional string s = 1 [default = "a\\"b\\n"]; }
  enum Kind { LOW = -3; HIGH = 0x10; }
  optional Inner inner = 2; optional Kind kind = 3 [default = HIGH, deprecated = true];
  repeated .caffe.A.Inner more = 5;
  optional float small = 6 [default = -1e-10];
  optional float endless = 7 [default = inf];
  optional double third = 8 [default = 0.3333333333333333];
  repeated int64 many = 12 [packed = true];
  required bool sure = 13 [default = true];
  optional int32 low = 14 [default = -5];
}
"""


def compiled(path: Path):
    """What protoc makes of a file."""
    target = path.with_suffix(".desc")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{path.parent}"]
    command += [f"--descriptor_set_out={target}", str(path)]
    subprocess.run(command, check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file
    return file


def forget_what_follows(message):
    """Drop what protoc adds: where types are declared, and names for JSON."""
    for field in message.field:
        field.ClearField("json_name")
        if field.type_name:
            field.ClearField("type")
            field.type_name = field.type_name.rpartition(".")[2]
    for inner in message.nested_type:
        forget_what_follows(inner)


@pytest.mark.parametrize("text", [SCHEMA.read_text(), ODD], ids=["caffe", "odd"])
def test_declarations_are_those_that_protoc_finds(text, tmp_path):
    pytest.importorskip("grpc_tools")
    text = text.replace(", deprecated = true", "")  # nobody looks at it
    (tmp_path / "x.proto").write_text(text)
    expected = compiled(tmp_path / "x.proto")
    found = parse_declarations(text, "x.proto")
    for file in (expected, found):
        for message in file.message_type:
            message.ClearField("reserved_range")
            forget_what_follows(message)
        file.ClearField("syntax")
    assert found == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("message", "1:8: expected a name, got the end"),
        ("massage A {}", "1:1: expected message or enum, got 'massage'"),
        ("message A {\n  int32 n = 1;\n}", "2:3: expected optional, repeated, req"),
        (
            "message A { optional int32 n = one; }",
            "1:32: expected a whole number of 32 bits, got",
        ),
        ("message A { optional int32 n = 1 }", "1:34: expected ';', got '}'"),
        ("message A { optional int32 = 1; }", "1:28: expected a name, got '='"),
        ("message A { optional float f = 1 [default = x]; }", "1:45: expected a numb"),
        ("message A { optional string s = 1 [default = x]; }", "1:46: expected a str"),
        (
            "message A { optional int32 n = 4294967296; }",
            "1:32: expected a whole number",
        ),
        ("enum E { A = 0;", "1:16: expected a name, got the end"),
        ("syntax = 'proto2'", "1:18: expected ';', got the end"),
        ('import "caffe.proto";', "1:1: expected message or enum, got 'import'"),
    ],
)
def test_what_is_no_declaration_is_refused_with_its_place(text, complaint):
    with pytest.raises(PrototxtError, match=re.escape(f"f.proto:{complaint}")):
        parse_declarations(text, "f.proto")


@given(
    st.integers(0, len(ODD)), st.integers(0, 30), st.sampled_from(["", "{", '"', "-"])
)
def test_damaged_text_is_read_or_refused(start, length, piece):
    text = ODD[:start] + piece + ODD[start + length :]
    with suppress(PrototxtError):
        parse_declarations(text, "f.proto")
