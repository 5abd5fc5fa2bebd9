import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from pyunet.cli import main
from pyunet.zoo import find_model
from tests.support.torch_unets import mateuszbuda, milesial

DEMO = find_model("unet_demo")


def run(*words: object) -> int:
    return main(["import", *map(str, words)])


def scores(prototxt: Path, weights: Path, image: np.ndarray) -> np.ndarray:
    net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
    net.blobs["data"].reshape(*image.shape)
    net.reshape()
    net.blobs["data"].data[...] = image
    return net.forward()["score"].copy()


@pytest.fixture
def image():
    return np.random.default_rng(1).random((1, 3, 48, 32), np.float32)


@pytest.fixture
def state():
    rng = np.random.default_rng(0)
    net = caffe.Net(str(DEMO), caffe.TEST)
    return {
        f"{name}.{kind}": torch.from_numpy(rng.random(blob.shape, np.float32))
        for name, blobs in net.params.items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=True)
    }


def test_milesials_unet_gives_the_same_scores(tmp_path, image):
    twin = milesial()
    torch.save(twin.state_dict(), tmp_path / "w.pth")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pth", "--mapping", "milesial", "-o", out) == 0
    with torch.no_grad():
        want = twin(torch.from_numpy(image)).numpy()
    got = scores(tmp_path / "w.prototxt", out, image)
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert (got.argmax(1) == want.argmax(1)).all()


def test_mateuszbudas_unet_gives_the_same_probabilities(tmp_path, image):
    twin = mateuszbuda()
    torch.save(twin.state_dict(), tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel.h5"
    assert run(tmp_path / "w.pt", "--mapping", "mateuszbuda", "-o", out) == 0
    with torch.no_grad():
        want = torch.sigmoid(twin(torch.from_numpy(image))).numpy()[:, 0]
    background, inside = scores(tmp_path / "w.prototxt", out, image)[0]
    np.testing.assert_allclose(inside[None], want, atol=1e-4)
    np.testing.assert_allclose(background, 1 - inside, atol=1e-6)


def test_a_net_of_one_class_gets_a_background_whose_label_is_right(tmp_path, image):
    twin = milesial(classes=1)
    torch.save(twin.state_dict(), tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--mapping", "milesial", "-o", out) == 0
    with torch.no_grad():
        want = twin(torch.from_numpy(image)).numpy()[:, 0]
    got = scores(tmp_path / "w.prototxt", out, image)
    assert (got.argmax(1) == (want > 0)).all()


def test_bilinear_up_sampling_is_named_as_what_caffe_cannot_say(tmp_path, capsys):
    state = milesial().state_dict()
    bilinear = {name: v for name, v in state.items() if ".up." not in name}
    torch.save(bilinear, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--mapping", "milesial", "-o", out) == 1
    error = capsys.readouterr().err
    assert "'up1.up'" in error
    assert "align_corners=True" in error
    assert not out.exists()


@pytest.mark.parametrize("mapping", ["milesial", "mateuszbuda"])
def test_weights_of_another_net_are_refused_by_a_mapping(
    tmp_path, state, mapping, capsys
):
    torch.save(state, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--mapping", mapping, "-o", out) == 1
    assert f"every net of '{mapping}' has" in capsys.readouterr().err


def test_a_mapping_names_the_weight_that_is_missing(tmp_path, capsys):
    state = milesial().state_dict()
    del state["down2.maxpool_conv.1.double_conv.1.bias"]
    torch.save(state, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--mapping", "milesial", "-o", out) == 1
    assert "'down2.maxpool_conv.1.double_conv.1.bias'" in capsys.readouterr().err


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_a_state_dict_fills_the_layers_of_its_names(tmp_path, state, wrapper):
    parallel = {f"module.{name}": value.half() for name, value in state.items()}
    content = {"epoch": 3, wrapper: parallel} if wrapper else state
    torch.save(content, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--model", DEMO, "-o", out) == 0
    net = caffe.Net(str(DEMO), str(out), caffe.TEST)
    want = state["conv_d0a-b.weight"].numpy()
    np.testing.assert_allclose(net.params["conv_d0a-b"][0].data, want, atol=1e-3)
    assert not (tmp_path / "w.prototxt").exists()


def test_arrays_without_a_layer_are_mentioned(tmp_path, state, capsys):
    torch.save({**state, "head.weight": torch.zeros(1)}, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--model", DEMO, "-o", out) == 0
    assert "1 arrays have no layer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("conv_d1a-b.bias"), "there is no 'conv_d1a-b.bias'"),
        (
            lambda s: s.update({"conv_d1a-b.bias": torch.zeros(7)}),
            "'conv_d1a-b.bias' has shape (7,)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, state, change, words, capsys):
    change(state)
    torch.save(state, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--model", DEMO, "-o", out) == 1
    assert words in capsys.readouterr().err
    assert not out.exists()


class Surprise:
    def __reduce__(self):
        return Path.touch, (Path("surprise"),)


def test_nothing_in_a_file_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1), "b": Surprise()}, tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--model", DEMO, "-o", out) == 1
    assert "they could run anything" in capsys.readouterr().err
    assert not Path("surprise").exists()


def write_script(path: Path) -> None:
    # torch warns that TorchScript is deprecated
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_script, "is no state_dict"),
        (lambda path: path.write_text("text"), "is no state_dict"),
        (lambda path: path.touch(), "is no state_dict"),
        (lambda path: None, "No such file"),
        (lambda path: torch.save([1, 2], path), "no tensors by name"),
    ],
)
def test_other_files_are_refused(tmp_path, write, words, capsys):
    write(tmp_path / "w.pt")
    out = tmp_path / "w.caffemodel"
    assert run(tmp_path / "w.pt", "--model", DEMO, "-o", out) == 1
    assert words in capsys.readouterr().err


def test_a_file_without_its_net_needs_one(tmp_path, state, capsys):
    torch.save(state, tmp_path / "w.pt")
    assert run(tmp_path / "w.pt", "-o", tmp_path / "w.caffemodel") == 1
    assert "give --model" in capsys.readouterr().err


def test_the_result_has_the_name_of_weights(tmp_path, capsys):
    assert run(tmp_path / "w.pt", "-o", tmp_path / "w.prototxt") == 1
    assert "expected a name *.caffemodel" in capsys.readouterr().err


def test_damaged_safetensors_are_named(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not at all")
    assert run(path, "-o", tmp_path / "w.caffemodel") == 1
    assert "is no safetensors file" in capsys.readouterr().err
    assert run(tmp_path / "no.safetensors", "-o", tmp_path / "w.caffemodel") == 1
    assert "cannot read it" in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with contextlib.suppress(SystemExit):
        main(["import", "--help"])
    assert "pyunet import unet.safetensors" in capsys.readouterr().out
