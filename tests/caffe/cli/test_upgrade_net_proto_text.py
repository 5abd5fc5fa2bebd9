"""`upgrade_net_proto_text`, against what the original made of old nets."""

from pathlib import Path

import pytest

from caffe.cli.upgrade_net_proto_text import main
from caffe.proto import caffe_pb2
from caffe.proto.text import read_text

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"


@pytest.mark.parametrize("name", ["v0", "v1", "v1_data"])
def test_an_old_net_becomes_what_caffe_makes_of_it(name, tmp_path, capsys):
    old, new = REFERENCE / f"{name}.prototxt", tmp_path / "new.prototxt"
    assert main([str(old), str(new)]) == 0
    wanted = REFERENCE / f"{name}.upgraded.prototxt"
    found = read_text(new, caffe_pb2.NetParameter())
    assert found == read_text(wanted, caffe_pb2.NetParameter())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"Wrote upgraded NetParameter text proto to {new}")


def test_a_net_of_today_stays_as_it_is(tmp_path, capsys):
    old, new = REFERENCE / "v1.upgraded.prototxt", tmp_path / "new.prototxt"
    assert main([str(old), str(new)]) == 0
    assert new.read_text() == old.read_text()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("E")
    assert first.endswith(f"File already in latest proto format: {old}")
