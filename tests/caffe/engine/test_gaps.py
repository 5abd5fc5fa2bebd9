"""Weights that leave layers at the values of their fillers."""

import h5py
import numpy as np
import pytest

import caffe
from caffe.engine.gaps import Gap
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from tests.support.snapshots import NET, SHARED

NORMALISED = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "relu" }
"""


@pytest.fixture(params=["caffemodel", "caffemodel.h5"])
def stored(request, tmp_path):
    """Write weights of a net without some layers, and with others' shapes changed."""

    def write(text, *, without=(), shapes=()):
        net = built(tmp_path, text)
        path = tmp_path / f"weights.{request.param}"
        if request.param == "caffemodel":
            _binary(net.to_proto(), path, without, dict(shapes))
        else:
            net.save_hdf5(path)
            _hdf5(path, without, dict(shapes))
        return path

    return write


def built(folder, text):
    path = folder / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), caffe.TEST)


def _binary(message, path, without, shapes):
    kept = caffe_pb2.NetParameter()
    for layer in message.layer:
        if layer.name in without:
            continue
        kept.layer.add().CopyFrom(layer)
        if layer.name in shapes:
            blob = kept.layer[-1].blobs[0]
            blob.shape.dim[:] = shapes[layer.name]
            blob.data[:] = [1] * int(np.prod(shapes[layer.name]))
    path.write_bytes(kept.SerializeToString())


def _hdf5(path, without, shapes):
    with h5py.File(path, "a") as file:
        for name in without:
            del file[f"data/{name}"]
        for name, shape in shapes.items():
            del file[f"data/{name}/0"]
            file[f"data/{name}/0"] = np.ones(shape, np.float32)


def test_whole_weights_have_no_gaps(stored, tmp_path, capfd):
    path = stored(NET)
    net = built(tmp_path, NET)
    assert net.missing_weights(path) == []
    net.copy_from(path, complete=True)
    caffe.Net(str(tmp_path / "net.prototxt"), str(path), caffe.TEST)
    assert "\nW" not in capfd.readouterr().err


def test_a_layer_that_the_file_lacks_is_named(stored, tmp_path):
    path = stored(NET, without=["ip"])
    gaps = built(tmp_path, NET).missing_weights(path)
    assert gaps == [Gap("ip", 0, (4, 27), None), Gap("ip", 1, (4,), None)]


def test_asked_for_whole_weights_a_lacking_layer_is_an_error(stored, tmp_path):
    path = stored(NET, without=["ip"])
    prototxt = tmp_path / "net.prototxt"
    with pytest.raises(CheckError) as caught:
        caffe.Net(str(prototxt), str(path), caffe.TEST, complete=True)
    assert str(caught.value) == (
        f"{path}: no weights for layer 'ip'; expected weights for every layer of the "
        "net"
    )


def test_asked_for_whole_weights_the_net_stays_as_it_was(stored, tmp_path):
    path = stored(NET, without=["conv"])
    net = built(tmp_path, NET)
    net.params["ip"][0].data[...] = 9
    with pytest.raises(CheckError, match="layer 'conv'"):
        net.copy_from(path, complete=True)
    assert (net.params["ip"][0].data == 9).all()


def test_a_layer_of_another_shape_is_named_with_both(stored, tmp_path):
    path = stored(NET, shapes=[("conv", (3, 1, 3, 3))])
    net = built(tmp_path, NET)
    assert net.missing_weights(path) == [Gap("conv", 0, (3, 2, 3, 3), (3, 1, 3, 3))]
    with pytest.raises(CheckError) as caught:
        net.copy_from(path, complete=True)
    assert str(caught.value) == (
        f"{path}: layer 'conv' has weights of shape (3, 1, 3, 3), the net "
        "(3, 2, 3, 3); expected weights for every layer of the net"
    )


def test_layers_beyond_four_are_counted(stored, tmp_path):
    layers = "".join(
        f'layer {{ name: "s{i}" type: "Scale" bottom: "data" top: "t{i}" }}'
        for i in range(6)
    )
    text = NET[: NET.index('layer { name: "conv"')] + layers
    path = stored(text, without=[f"s{i}" for i in range(6)])
    with pytest.raises(CheckError, match=r"layers 's0', 's1', 's2', 's3' and 2 more;"):
        built(tmp_path, text).copy_from(path, complete=True)


def test_statistics_of_a_batch_normalisation_count(stored, tmp_path):
    path = stored(NORMALISED, without=["bn"])
    with pytest.raises(CheckError, match="no weights for layer 'bn';"):
        built(tmp_path, NORMALISED).copy_from(path, complete=True)


def test_of_layers_that_share_their_weights_one_is_enough(stored, tmp_path):
    net = built(tmp_path, SHARED)
    net.copy_from(stored(SHARED, without=["b"]), complete=True)
    (gap,) = net.missing_weights(stored(SHARED, without=["a", "b"]))
    assert gap == Gap("a", 0, (3, 3), None)


def test_finetuning_still_starts_from_a_part_of_the_weights(stored, tmp_path, capfd):
    path = stored(NET, without=["ip"])
    net = built(tmp_path, NET)
    capfd.readouterr()
    net.copy_from(path)
    assert (net.params["ip"][0].data == 2).all()  # the filler's
    assert "\nW" not in capfd.readouterr().err


def test_a_net_in_phase_test_warns_once_of_layers_without_weights(
    stored, tmp_path, capfd
):
    path = stored(NET, without=["ip"])
    net = caffe.Net(str(tmp_path / "net.prototxt"), str(path), caffe.TEST)
    lines = capfd.readouterr().err.splitlines()
    (warning,) = [line for line in lines if line.startswith("W")]
    assert f"{path}: no weights for layer 'ip': they keep the values" in warning
    assert (net.params["ip"][0].data == 2).all()


def test_a_net_in_phase_train_does_not_warn(stored, tmp_path, capfd):
    path = stored(NET, without=["ip"])
    caffe.Net(str(tmp_path / "net.prototxt"), str(path), caffe.TRAIN)
    assert "\nW" not in capfd.readouterr().err


def test_layers_that_are_to_be_trained_anew_may_stay_without(stored, tmp_path):
    path = stored(NET, without=["conv", "ip"])
    net = built(tmp_path, NET)
    net.check_weights(path, but=["conv", "ip"])
    with pytest.raises(CheckError, match=r"no weights for layer 'conv';"):
        net.check_weights(path, but=["ip"])


def test_an_impossible_shape_is_an_error_that_names_file_and_layer(tmp_path):
    message = built(tmp_path, NET).to_proto()
    message.layer[1].blobs[0].shape.dim[0] = -3
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(
        FileError, match=r"weights\.caffemodel: layer 'conv', param 0: "
    ):
        built(tmp_path, NET).missing_weights(path)


def test_a_file_that_is_no_weights_is_an_error(tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(b"no net\xff")
    with pytest.raises(FileError):
        built(tmp_path, NET).missing_weights(path)
