import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from ruyaml import YAML

import caffe
from pyunet.cli import main
from pyunet.data.images import ImageStack
from pyunet.errors import DataError
from pyunet.zoo.manifest import Entry, Score
from pyunet_bridges import bioimageio, source
from pyunet_bridges.samples import cut_middle, synthetic_image
from tests.support.exported import filled

# not importorskip: it takes seconds, in the runs of other tests, too
if find_spec("bioimageio") is None:
    pytest.skip("bioimageio.core is not installed", allow_module_level=True)
ROOT = Path(__file__).parents[2]
# "same" convolutions over two levels: scores near the edge are worth nothing
SAME = """name: "same"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 } }
layer { name: "p" type: "Pooling" bottom: "a" top: "p"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "u" type: "Deconvolution" bottom: "p" top: "u"
  convolution_param { num_output: 3 kernel_size: 2 stride: 2 } }
layer { name: "c" type: "Concat" bottom: "a" bottom: "u" top: "c" }
layer { name: "s" type: "Convolution" bottom: "c" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }"""


def save(folder: Path, text: str) -> tuple[Path, Path]:
    prototxt, weights = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    filled(caffe.Net(str(prototxt), caffe.TEST)).save(weights)
    return prototxt, weights


@pytest.fixture
def same(tmp_path):
    return save(tmp_path, SAME)


def export(files: tuple[Path, Path], out: Path, *words: object) -> int:
    command = [files[0], "--weights", files[1], "--to", "bioimageio", "-o", out, *words]
    return main(["export", *map(str, command)])


def description(package: Path) -> dict:
    with zipfile.ZipFile(package) as file:
        (name,) = [n for n in file.namelist() if n.endswith(".yaml")]
        return YAML(typ="safe").load(file.read(name))


def passes(package: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run the zoo's own test, without its questions to the network."""
    environment = {
        **os.environ,
        "BIOIMAGEIO_PERFORM_IO_CHECKS": "false",
        "BIOIMAGEIO_CACHE_PATH": str(folder / "cache"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "bioimageio.core", "test", str(package)]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_zoos_own_test_passes(tmp_path, same):
    out = tmp_path / "same.zip"
    assert export(same, out, "--licence", "CC-BY-4.0", "--author", "A. Nonym") == 0
    result = passes(out, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for weights in ("weights.onnx", "weights.torchscript"):
        assert weights in result.stdout


@pytest.mark.slow
def test_the_zoos_own_test_passes_for_a_net_without_padding(tmp_path):
    text = (ROOT / "prototxt/unet_demo/deploy.prototxt").read_text()
    out = tmp_path / "demo.zip"
    assert export(save(tmp_path, text), out, "--licence", "BSD-2-Clause") == 0
    result = passes(out, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_package_says_how_to_tile(tmp_path, same):
    out = tmp_path / "same.zip"
    assert export(same, out, "--licence", "CC-BY-4.0") == 0
    found = description(out)
    assert found["license"] == "CC-BY-4.0"
    _, channel, y, _ = found["inputs"][0]["axes"]
    assert y["size"]["step"] == 2
    assert len(channel["channel_names"]) == 2
    axis = found["outputs"][0]["axes"][2]
    assert axis["size"] == {"tensor_id": "input", "axis_id": "y", "offset": 0}
    assert axis["halo"] == 2
    with zipfile.ZipFile(out) as file, file.open("cover.png") as cover:
        width, height = Image.open(cover).size
    assert width == 2 * height


def test_a_typical_image_is_the_test_input(tmp_path, same):
    image = np.random.default_rng(0).integers(0, 255, (2, 90, 80), np.uint8)
    tifffile.imwrite(tmp_path / "i.tif", image[None], metadata={"axes": "TCYX"})
    out = tmp_path / "same.zip"
    words = ("--licence", "CC-BY-4.0", "--image", tmp_path / "i.tif")
    assert export(same, out, *words) == 0
    with zipfile.ZipFile(out) as file, file.open("input.npy") as array:
        got = np.load(array)[0]
    rows, columns = got.shape[1:]
    top, left = (90 - rows) // 2, (80 - columns) // 2
    want = image[:, top : top + rows, left : left + columns] / 255
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_trained_model_brings_licence_scores_and_citation(
    tmp_path, same, monkeypatch
):
    entry = Entry(
        name="tiny", what="Cells", licence="BSD-2-Clause", prototxt=same[0].name,
        folder=tmp_path, file=same[1].name, classes=["a b", "c", "d"],
        citation="Somebody 2020, doi:10.1000/xyz",
        scores=[Score("IoU", 0.5, "some images")],
    )  # fmt: skip
    monkeypatch.setattr(source, "entries", lambda: {"tiny": entry})
    out = tmp_path / "tiny.zip"
    assert main(["export", "tiny", "--to", "bioimageio", "-o", str(out)]) == 0
    found = description(out)
    assert found["description"] == "Cells"
    assert found["license"] == "BSD-2-Clause"
    assert found["cite"][0]["doi"] == "10.1000/xyz"
    channel = found["outputs"][0]["axes"][1]
    assert channel["channel_names"] == ["a_b", "c", "d"]
    with zipfile.ZipFile(out) as file:
        assert "- IoU: 0.5 (some images)" in file.read("README.md").decode()


def test_a_definitions_normalisation_and_pixel_size_are_said(tmp_path, same):
    given = tmp_path / "same.modeldef.h5"
    words = ["--weights", same[1], "--to", "modeldef", "-o", given]
    words += ["--element-size-um", "0.5"]
    assert main(["export", str(same[0]), *map(str, words)]) == 0
    out = tmp_path / "same.zip"
    assert export((given, same[1]), out, "--licence", "CC-BY-4.0") == 0
    (tensor,) = description(out)["inputs"]
    assert any(step["id"] == "scale_range" for step in tensor["preprocessing"])
    assert tensor["axes"][3]["scale"] == 0.5


def test_without_onnx_a_package_has_torchscript_only(tmp_path, same, monkeypatch):
    monkeypatch.setattr(bioimageio, "find_spec", lambda name: None)
    out = tmp_path / "same.zip"
    assert export(same, out, "--licence", "CC-BY-4.0") == 0
    assert [*description(out)["weights"]] == ["torchscript"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "under what licence"),
        (("--licence", "mine"), "'mine': is no identifier of SPDX"),
        (("--licence", "MIT", "--image", "grey.png"), "grey.png: has 1 channel"),
    ],
)
def test_what_a_package_cannot_say_is_refused(
    tmp_path, same, words, error, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (9, 9)).save("grey.png")
    assert export(same, Path("a.zip"), *words) == 1
    assert error in capsys.readouterr().err
    assert not Path("a.zip").exists()


def test_nets_of_several_outputs_are_refused(tmp_path, capsys):
    text = SAME + 'layer { name: "t" type: "TanH" bottom: "c" top: "t" }'
    assert export(save(tmp_path, text), tmp_path / "a.zip", "--licence", "MIT") == 1
    assert "accepted for bioimage.io is one" in capsys.readouterr().err


def test_a_missing_package_is_named(tmp_path, same, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    assert export(same, tmp_path / "a.zip", "--licence", "MIT") == 1
    assert 'pip install "pyunet[zoo]"' in capsys.readouterr().err


def test_an_image_that_is_too_small_is_mirrored():
    stack = ImageStack(np.array([[[[0, 255]]]], np.uint8), "two", [])
    got = cut_middle(stack, (1, 1, 6), name="two")
    np.testing.assert_array_equal(got[0, 0], [1, 0, 0, 1, 1, 0])


def test_slices_of_a_stack_are_the_planes_of_a_volume():
    stack = ImageStack(np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3), "s", [])
    got = cut_middle(stack, (1, 2, 2, 3), name="s")
    np.testing.assert_allclose(got[0] * 23, stack.array[1:3, 0], rtol=1e-6)


def test_other_channels_are_refused():
    stack = ImageStack(np.zeros((1, 3, 2, 2), np.uint8), "s", [])
    with pytest.raises(DataError, match="has 3 channel"):
        cut_middle(stack, (1, 2, 2), name="s")


def test_the_synthetic_image_is_always_the_same():
    np.testing.assert_array_equal(
        synthetic_image((1, 9, 9)), synthetic_image((1, 9, 9))
    )
