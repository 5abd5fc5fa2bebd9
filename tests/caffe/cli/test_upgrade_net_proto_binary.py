"""`upgrade_net_proto_binary` on a file that the original wrote."""

from pathlib import Path

import pytest

import caffe
from caffe.cli.upgrade_net_proto_binary import main
from caffe.proto import caffe_pb2
from caffe.proto.text import read_text
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"
OLD = REFERENCE / "v1.caffemodel"


@pytest.fixture
def new(tmp_path, capsys):
    path = tmp_path / "new.caffemodel"
    assert main([str(OLD), str(path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"Wrote upgraded NetParameter binary proto to {path}")
    return path


def test_old_layers_become_layers_with_all_their_numbers(new):
    before = caffe_pb2.NetParameter.FromString(OLD.read_bytes())
    after = caffe_pb2.NetParameter.FromString(new.read_bytes())
    assert before.layers
    assert not after.layers
    blobs = {layer.name: list(layer.blobs) for layer in after.layer}
    for layer in before.layers:
        assert blobs[layer.name] == list(layer.blobs)


def test_the_rest_is_what_caffe_made_of_the_text_of_the_net(new):
    after = caffe_pb2.NetParameter.FromString(new.read_bytes())
    for layer in after.layer:
        layer.ClearField("blobs")
    wanted = caffe_pb2.NetParameter()
    read_text(REFERENCE / "v1.upgraded.prototxt", wanted)
    assert list(after.layer) == list(wanted.layer)


def test_the_new_file_computes_what_the_original_computed(new, tmp_path):
    stored = load_arrays(REFERENCE / "v1_forward.npz")
    net = caffe.Net(str(REFERENCE / "v1.prototxt"), caffe.TEST, weights=str(new))
    name = net.inputs[0]
    net.blobs[name].data[...] = stored[name]
    for output, values in net.forward().items():
        assert values == pytest.approx(stored[output], rel=1e-5, abs=1e-6)


def test_a_file_of_today_stays_as_it_is(new, tmp_path, capsys):
    again = tmp_path / "again.caffemodel"
    assert main([str(new), str(again)]) == 0
    before, after = (
        caffe_pb2.NetParameter.FromString(path.read_bytes()) for path in (new, again)
    )
    assert before == after
    first = capsys.readouterr().err.splitlines()[0]
    assert first.endswith(f"File already in latest proto format: {new}")


def test_text_is_refused(tmp_path, capsys):
    assert main([str(REFERENCE / "v1.prototxt"), str(tmp_path / "new")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "v1.prototxt: is a text file" in line
    assert list(tmp_path.iterdir()) == []
