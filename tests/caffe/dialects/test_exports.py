"""Layers of Caffe's forks in other formats, against numbers that the forks computed."""

import numpy as np
import pytest
import torch

from caffe.export import build_module
from caffe.export.onnx import translate
from tests.support.forks import REFERENCE, case_net
from tests.support.stored import load_arrays

TORCH = ["Axpy", "ConvolutionDepthwise", "DepthwiseConvolution", "ReLU6"]
TORCH += ["BN", "Interp", "Reorg", "Reverse", "ShuffleChannel", "Transpose", "Upsample"]
TORCH += ["Convolution3D", "Deconvolution3D", "L2Normalize", "Normalization"]
# of the two layers Upsample that of one bottom
ONNX = [*sorted({*TORCH} - {"Upsample"}), "ROIPooling", "Upsample/*_0[679]"]
TORCH += ["Pooling3D"]


def in_phase_test(path):
    return str(load_arrays(path)["phase"]) == "TEST"


def cases(types):
    globs = [kind if "/" in kind else f"{kind}/*" for kind in types]
    paths = [path for each in globs for path in sorted(REFERENCE.glob(f"{each}.npz"))]
    paths = list(filter(in_phase_test, paths))
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def assert_near(got, want):
    assert got.shape == want.shape
    off = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-6)
    assert off <= 1e-5


@pytest.mark.reference
@cases(TORCH)
def test_a_module_of_torch_gives_the_forks_numbers(path):
    net, case = case_net(path)
    inputs = [torch.from_numpy(net.blobs[name].data.copy()) for name in net.inputs]
    with torch.no_grad():
        found = build_module(net)(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    for name, value in zip(net.outputs, found, strict=True):
        assert_near(value.numpy(), case[f"out.{name}"])


@pytest.mark.reference
@pytest.mark.parametrize("dynamic", [(), ("batch", "spatial")])
@cases(ONNX)
def test_onnx_gives_the_forks_numbers(path, dynamic):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    net, case = case_net(path)
    model = translate(net._wiring, dynamic=dynamic).graph.model("net")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {name: net.blobs[name].data.copy() for name in net.inputs}
    names = [output.name for output in session.get_outputs()]
    for name, value in zip(names, session.run(names, feeds), strict=True):
        assert_near(value, case[f"out.{name}"])
