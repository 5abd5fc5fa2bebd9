"""Whichever kernel is chosen, a convolution gives the same numbers."""

import pytest
import torch
from torch.nn import functional

from caffe.engine.blob import Blob
from caffe.engine.kernels import onednn, winograd
from caffe.engine.kernels.convolution import Options, convolve, workspace
from caffe.engine.packing import Packing


def options(stride=1, pad=0, dilation=1, group=1, slope=None):
    return Options((stride,) * 2, (pad,) * 2, (dilation,) * 2, group, slope)


CASES = {
    "wide": ((1, 256, 62, 62), (256, 256, 3, 3), options(slope=0.0)),
    "one channel": ((1, 1, 33, 41), (8, 1, 3, 3), options(slope=0.0)),
    "leaky": ((2, 8, 20, 20), (8, 8, 3, 3), options(pad=1, slope=0.2)),
    "strided": ((1, 4, 21, 22), (6, 4, 5, 5), options(stride=2, pad=2)),
    "dilated": ((1, 8, 30, 30), (8, 8, 3, 3), options(dilation=2)),
    "grouped": ((1, 8, 16, 16), (4, 2, 3, 3), options(group=4)),
    "scores": ((1, 64, 20, 20), (2, 64, 1, 1), options()),
}


@pytest.mark.parametrize("without", [None, "winograd", "onednn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_all_kernels_agree_with_float64(case, dtype, without, monkeypatch):
    if without == "winograd":
        monkeypatch.setattr(winograd, "suits", lambda *shapes: False)
    if without == "onednn":
        monkeypatch.setattr(onednn, "available", lambda: False)
    shape, weight_shape, chosen = CASES[case]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(weight_shape, generator=generator) / weight_shape[1] ** 0.5
    bias = torch.randn(weight_shape[0], generator=generator)
    want = functional.conv2d(
        x.double(), weight.double(), bias.double(), chosen.stride, chosen.pad,
        chosen.dilation, chosen.group,
    )  # fmt: skip
    if chosen.slope is not None:
        want = functional.leaky_relu(want, chosen.slope)
    allowed = 1e-5 if dtype is torch.float32 else 2e-2
    blob = Blob(weight_shape)
    blob.fill(weight)
    packing = Packing()
    packing.blobs = [blob]
    with torch.no_grad():
        for _ in range(2):  # the second time with packed weights
            y = convolve(x.to(dtype), weight, bias, chosen, packing)
            assert y.dtype is dtype
            assert (y.double() - want).norm() < allowed * want.norm()
    recorded = convolve(
        x.to(dtype), weight.clone().requires_grad_(), bias, chosen, packing
    )
    assert (recorded.detach().double() - want).norm() < allowed * want.norm()


def test_the_workspace_counts_changed_weights_and_what_passes():
    shape, weight_shape, chosen = CASES["wide"]
    lasting, passing = workspace(shape, weight_shape, chosen)
    assert lasting == 4 * 36 * 256 * 256
    assert passing > 4 * 36 * 15 * 15 * (256 + 256)
    shape, weight_shape, chosen = CASES["strided"]
    assert workspace(shape, weight_shape, chosen) == (4 * 6 * 4 * 25, 0)
