"""``pyunet segment`` runs whatever text of a net `caffe.Net` runs."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import correlate

import caffe
from pyunet.cli import main

INPUT = 'input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8\n'
TEXTS = {
    "V0": """layers { bottom: "data" top: "score"
  layer { name: "score" type: "conv" num_output: 2 kernelsize: 3 } }""",
    "V1": """layers { name: "score" type: CONVOLUTION bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 3 } }""",
    "Latin-1": """layer { name: "score" type: "Convolution" # die Größe der Fenster: 3
  bottom: "data" top: "score" convolution_param { num_output: 2 kernel_size: 3 } }""",
}


@pytest.mark.parametrize("form", TEXTS)
def test_a_net_of_an_older_form_segments(form, tmp_path):
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(INPUT + TEXTS[form], encoding="latin-1")
    rng = np.random.default_rng(0)
    net = caffe.Net(str(deploy), caffe.TEST)
    kernels = rng.normal(size=(2, 1, 3, 3)).astype(np.float32)
    net.params["score"][0].data[...] = kernels
    weights = tmp_path / "weights.caffemodel"
    net.save(str(weights))
    image = rng.random((9, 11)).astype(np.float32)
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    words = ["segment", "--model", str(deploy), "--weights", str(weights)]
    words += ["--out", str(tmp_path / "out"), str(tmp_path / "image.tif")]
    assert main(words) == 0
    scores = tifffile.imread(Path(tmp_path, "out", "image_scores.tif"))
    expected = [correlate(image, kernel[0], mode="mirror") for kernel in kernels]
    np.testing.assert_allclose(scores.squeeze(), expected, atol=1e-5)
