"""Fields of several dialects in one schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, message_factory

from caffe.errors import CheckError
from caffe.proto import caffe_pb2
from caffe.proto.declarations import parse_declarations
from caffe.proto.dialects import Dialect, dialects
from caffe.proto.schema import built, digest, merged, numbered_as

PROTO = Path(caffe_pb2.__file__).parent
BASE = """
message LayerParameter { optional string name = 1; optional A a_param = 5; }
message A { enum Mode { NONE = 0; FULL = 3; } optional Mode mode = 1; }
"""


def base():
    file = parse_declarations(BASE, "caffe.proto")
    # as protoc resolves them
    file.message_type[0].field[1].type_name = ".caffe.A"
    file.message_type[0].field[
        1
    ].type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    file.message_type[1].field[0].type_name = ".caffe.A.Mode"
    file.message_type[1].field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_ENUM
    return file


@pytest.fixture
def dialect(tmp_path):
    def make(text, name="x", offset=1000):
        path = tmp_path / f"{name}.proto"
        path.write_text(text)
        return Dialect(name=name, fields=path, offset=offset)

    return make


def message(schema, name):
    return message_factory.GetMessageClass(
        built(schema).message_types_by_name[name]
    ).DESCRIPTOR


def numbers(schema, name):
    return {f.name: f.number for f in message(schema, name).fields}


FIRST = "message LayerParameter { optional int32 b = 5; optional int32 c = 6; }"
SECOND = "message LayerParameter { optional int32 d = 6; }"


def test_a_number_that_is_taken_is_moved_for_our_dialects(dialect):
    schema = merged(base(), [dialect(FIRST), dialect(SECOND, "y", 2000)])
    assert numbers(schema, "LayerParameter") == {
        "name": 1, "a_param": 5, "b": 1005, "c": 6, "d": 2006,
    }  # fmt: skip


def test_the_number_of_a_packages_field_does_not_depend_on_other_packages(dialect):
    first, second = dialect(FIRST, "p", None), dialect(SECOND, "q", None)
    alone = numbers(merged(base(), [second]), "LayerParameter")["d"]
    beside = numbers(merged(base(), [first, second]), "LayerParameter")
    assert beside["d"] == alone
    assert len(set(beside.values())) == 5
    assert 2**20 <= alone < 2**29


def test_a_dialects_own_numbers_push_others_aside(dialect):
    first = dialect(FIRST)
    own = numbers(numbered_as(merged(base(), [first]), first), "LayerParameter")
    assert (own["name"], own["b"], own["c"]) == (1, 5, 6)
    assert own["a_param"] not in {1, 5, 6}


def test_a_message_has_the_fields_of_both_dialects(dialect):
    text = "message BN {{ optional {} = 1; }}"
    first = dialect(text.format("float slope"))
    second = dialect(text.format("float scale"), "y", 2000)
    assert numbers(merged(base(), [first, second]), "BN") == {"slope": 1, "scale": 2001}


def test_an_enum_gets_values_with_numbers_of_their_own(dialect):
    text = "message A { enum Mode { FIXED = 3; NONE = 4; } }"
    found = dialect(text)
    schema = merged(base(), [found])
    mode = message(schema, "A").enum_types_by_name["Mode"]
    values = {v.name: v.number for v in mode.values}
    assert values == {"NONE": 0, "FULL": 3, "FIXED": 1003}
    mode = message(numbered_as(schema, found), "A").enum_types_by_name["Mode"]
    values = {v.name: v.number for v in mode.values}
    assert (values["FIXED"], values["NONE"]) == (3, 4)
    assert values["FULL"] not in (3, 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("message A { optional int32 mode = 1; }", "A.mode is int32: expected A.Mode"),
        ("message A { repeated Mode mode = 1; }", "A.mode is repeated: expected opt"),
        (
            "message A { optional Mode mode = 1 [default = FULL]; }",
            "A.mode has the default FULL: expected none",
        ),
        ("message B { optional C c = 1; }", "B.c: type 'C' is not declared"),
        ("message B { optional int32 b = 1; optional int32 c = 1; }", None),
    ],
)
@pytest.mark.parametrize("offset", [1000, None])
def test_dialects_that_disagree_are_named(dialect, text, complaint, offset):
    if complaint is None:  # the second is moved
        assert len(numbers(merged(base(), [dialect(text, offset=offset)]), "B")) == 2
        return
    with pytest.raises(CheckError, match=f"dialect 'x' .*: {complaint}"):
        merged(base(), [dialect(text, offset=offset)])


def test_the_stored_schema_is_what_the_dialects_declare():
    raw = (PROTO / "caffe.desc").read_bytes()
    ours = [each for each in dialects() if each.offset is not None]
    want = caffe_pb2.of_ours(raw, ours).SerializeToString(deterministic=True)
    stored = (PROTO / "dialects.desc").read_bytes()
    assert stored == digest(raw, ours) + want, "python tools/dialects_desc.py"


def test_a_stored_schema_that_is_not_current_is_not_used():
    raw = (PROTO / "caffe.desc").read_bytes()
    ours = [each for each in dialects() if each.offset is not None]
    fewer = ours[:-1]
    assert digest(raw, ours) not in (digest(raw, fewer), digest(raw + b"x", ours))
