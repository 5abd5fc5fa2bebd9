"""Layers are renamed in place, and only in weights that have them."""

import pytest

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet.zoo.renaming import rename_layers
from tests.support.listed_models import write_threshold_net


def test_only_the_name_changes(tmp_path):
    _, weights = write_threshold_net(tmp_path)
    before = caffe_pb2.NetParameter.FromString(weights.read_bytes())
    rename_layers(weights, {"score": "score_New"})
    after = caffe_pb2.NetParameter.FromString(weights.read_bytes())
    assert after.layer[0].name == "score_New"
    assert after.layer[0].blobs == before.layer[0].blobs


def test_layers_of_old_files_are_found(tmp_path):
    net = caffe_pb2.NetParameter()
    net.layers.add(name="a")
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    rename_layers(path, {"a": "b"})
    assert caffe_pb2.NetParameter.FromString(path.read_bytes()).layers[0].name == "b"


def test_weights_of_another_net_are_refused(tmp_path):
    _, weights = write_threshold_net(tmp_path)
    before = weights.read_bytes()
    with pytest.raises(DataError, match="has no layer 'other'; it is of another net"):
        rename_layers(weights, {"score": "a", "other": "b"})
    assert weights.read_bytes() == before
    weights.write_text("text")
    with pytest.raises(DataError, match="is no binary caffemodel"):
        rename_layers(weights, {})
