"""The fused and the inspecting executor give the same numbers, for every net."""

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.proto import files
from tests.support.marks import slow
from tests.support.nets import narrow, set_tile, write_images

PROTOTXT = Path(__file__).parents[3] / "prototxt"
# smallest useful tile of each model: pixels of the input, and of the labels it reads
TILES = {
    "2d_cell_net_v0": ((188, 188), (188, 188)),
    "3dUnet_miccai2016_no_BN": ((92, 92, 92), (92, 92, 92)),
    "phseg_v5": ((188, 188), (4, 4)),
    "phseg_v5new6": ((188, 188), (4, 4)),
    "phseg_v7": ((188, 188), (188, 188)),
    "snemi_v6": ((44, 188, 188), (44, 188, 188)),
    "unet_cells": ((188, 188), (4, 4)),
    "unet_demo": ((92, 92), (52, 52)),
    "unet_isbi2012": ((188, 188), (4, 4)),
    "unet_isbi2012_narrow": ((188, 188), (4, 4)),
    "unet_isbi2012_online": ((188, 188), (188, 188)),
    "unet_vessels": ((60, 60), (20, 20)),
}
LARGE = ("phseg_v5", "snemi_v6", "unet_isbi2012", "unet_isbi2012_online")
MODELS = [slow(name) if name in LARGE else name for name in sorted(TILES)]
# by how much narrower those are here that would take long at full width
NARROWER = {
    "2d_cell_net_v0": 16,
    "3dUnet_miccai2016_no_BN": 16,
    "phseg_v5new6": 16,
    "phseg_v7": 16,
    "snemi_v6": 16,
}


def read_model(model, kind):
    """A prototxt of a model, narrowed where it is wide."""
    net = files.read_net(PROTOTXT / model / f"{kind}.prototxt")
    return narrow(net, NARROWER.get(model, 1))


def relative(got, want):
    """Relative L2 distance."""
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-12)


@pytest.fixture
def train_net(tmp_path, monkeypatch):
    """The training net of a model, on two random tiles."""
    monkeypatch.chdir(tmp_path)

    def make(model):
        net = read_model(model, "train")
        layer = next(x for x in net.layer if x.type == "HDF5Data")
        listed = Path(layer.hdf5_data_param.source)
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("tiles.h5\n")
        tile, labels = TILES[model]
        if not Path("tiles.h5").exists():
            write_images(Path("tiles.h5"), tile, labels)
        set_tile(net, tile)
        caffe.set_random_seed(5)
        return caffe.Net(net, caffe.TRAIN)

    return make


def test_every_model_is_compared_here():
    # those that a script writes are compared with torch, in tests/prototxt
    written = {path.parent for path in PROTOTXT.glob("*/make.py")}
    folders = {path.parent for path in PROTOTXT.glob("*/train.*")} - written
    assert sorted(TILES) == sorted(folder.name for folder in folders)


@pytest.mark.parametrize("model", MODELS)
def test_training_agrees_in_loss_blobs_and_gradients(model, train_net):
    fused = train_net(model)
    loss = fused.forward_backward()
    inspected = train_net(model)
    outputs = inspected.forward()
    inspected.backward()
    assert loss == pytest.approx(float(outputs["loss"]), rel=1e-5)
    for name, blob in fused.blobs.items():
        assert relative(blob.data, inspected.blobs[name].data) <= 1e-5, name
        assert relative(blob.diff, inspected.blobs[name].diff) <= 1e-4, name
    for name, blobs in fused.params.items():
        for mine, theirs in zip(blobs, inspected.params[name], strict=True):
            assert relative(mine.diff, theirs.diff) <= 1e-4, name


@pytest.mark.parametrize("model", MODELS)
def test_inference_agrees_in_every_blob(model):
    tile, _ = TILES[model]
    caffe.set_random_seed(5)
    net = caffe.Net(read_model(model, "deploy"), caffe.TEST)
    net.blobs["data"].reshape(1, 1, *tile)
    net.reshape()
    data = np.random.default_rng(1).random((1, 1, *tile), np.float32)
    fused = {k: v.copy() for k, v in net.forward(data=data).items()}
    late = {name: blob.data.copy() for name, blob in net.blobs.items()}
    first = net._layer_names[0]
    for name, value in net.forward(start=first).items():
        assert relative(fused[name], value) <= 1e-5
    for name, blob in net.blobs.items():
        assert relative(late[name], blob.data) <= 1e-5, name


def test_a_gradient_that_a_step_did_not_keep_is_refused_once_and_kept_from_then_on(
    train_net,
):
    net = train_net("unet_demo")
    net.keep_blobs = False
    net.forward_backward()
    with pytest.raises(caffe.CheckError, match="was not kept by the solver's step"):
        _ = net.blobs["score"].diff
    net.forward_backward()
    assert np.abs(net.blobs["score"].diff).max() > 0


def test_gradients_of_two_passes_add_up_until_they_are_cleared(train_net):
    net = train_net("unet_demo")
    layer = next(iter(net.params))
    net.forward_backward()
    once = net.params[layer][0].diff.copy()
    net.clear_param_diffs()
    assert not net.params[layer][0].diff.any()
    net.forward_backward()
    net.forward_backward()
    assert relative(net.params[layer][0].diff, 2 * once) > 0
    assert np.abs(net.params[layer][0].diff).max() > np.abs(once).max() / 2


def test_a_shared_parameter_gets_the_gradients_of_all_its_uses(tmp_path):
    layer = (
        'layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" '
        'param { name: "w" } inner_product_param { num_output: 2 bias_term: false '
        "weight_filler { value: 1 } } }\n"
    )
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { '
        "shape { dim: 1 dim: 2 } data_filler { value: 3 } } }\n"
        + layer % ("a", "x", "y")
        + layer % ("b", "y", "z")
        + 'layer { name: "loss" type: "ReLU" bottom: "z" top: "l" loss_weight: 1 }'
    )
    net = caffe.Net(str(path), caffe.TRAIN)
    net.clear_param_diffs()
    net.forward_backward()
    # y = (6, 6), l = sum w y: through b 6 for each weight, through a 2 x for each
    assert net.params["a"][0].diff.tolist() == [[12, 12], [12, 12]]
    net.forward_backward()
    assert net.params["b"][0].diff.tolist() == [[24, 24], [24, 24]]


def test_backward_may_be_called_twice_and_uses_the_masks_of_the_last_forward(
    train_net,
):
    net = train_net("unet_demo")
    layer = next(iter(net.params))
    net.forward()
    net.backward()
    once = net.params[layer][0].diff.copy()
    net.backward()
    assert relative(net.params[layer][0].diff, 2 * once) <= 1e-5


def test_backward_after_a_step_is_refused_as_the_step_keeps_nothing_for_it(train_net):
    net = train_net("unet_demo")
    net.forward()
    net.forward_backward()
    with pytest.raises(caffe.CheckError, match=r"call net\.forward\(\) before"):
        net.backward()


def test_backward_is_refused_from_a_layer_in_place_that_the_forward_left_out(train_net):
    net = train_net("unet_demo")
    net.forward(end="conv_d0a-b")
    with pytest.raises(caffe.CheckError, match=r"'relu_d0b'.* has run no forward"):
        net.backward()


def test_a_net_whose_blobs_are_not_kept_says_so(train_net):
    net = train_net("unet_demo")
    net.keep_blobs = False
    net.forward_backward()
    assert net.blobs["loss"].data > 0
    with pytest.raises(caffe.CheckError, match="freed at its last use"):
        _ = net.blobs["score"].data
