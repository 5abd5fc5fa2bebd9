"""Shapes that torch filters wrongly are known, and take another way."""

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.kernels import plain
from caffe.engine.kernels.plain import Options
from caffe.proto import caffe_pb2


def options(stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1):
    return Options(stride, pad, dilation, group)


def doubtful(x, weight, chosen):
    return plain.is_doubtful(torch.zeros(x), torch.zeros(weight), x[2:], chosen)


def test_the_shape_that_came_out_wrong_with_avx512_is_doubted():
    chosen = options(stride=(1, 3), pad=(2, 0))
    assert doubtful((1, 1, 5, 6), (2, 1, 3, 4), chosen)


@pytest.mark.parametrize(
    ("x", "weight", "chosen"),
    [
        ((1, 1, 572, 572), (64, 1, 3, 3), options()),
        ((1, 3, 224, 224), (64, 3, 7, 7), options(stride=(2, 2), pad=(3, 3))),
        ((1, 1, 28, 28), (20, 1, 5, 5), options(stride=(2, 2))),
        ((1, 256, 56, 56), (128, 256, 1, 1), options(stride=(2, 2))),
        ((1, 1, 1, 1), (8, 1, 1, 1), options()),
    ],
)
def test_shapes_of_everyday_nets_are_not(x, weight, chosen):
    assert not doubtful(x, weight, chosen)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 5, 6), (2, 3, 4, 1), (1, 1, 1, 1)])
def test_doubted_shapes_are_handed_over_row_major(shape, transposed, monkeypatch):
    name = "conv_transpose2d" if transposed else "conv2d"
    table = plain._TRANSPOSED if transposed else plain._FORWARD
    given = []

    def spy(x, weight, bias, **chosen):
        given.extend([x.stride(), weight.stride()])
        return getattr(torch.nn.functional, name)(x, weight, bias, **chosen)

    monkeypatch.setitem(table, 2, spy)
    monkeypatch.setattr(plain, "is_doubtful", lambda *shapes: True)
    inside = shape[1]
    strides = (inside * shape[2] * shape[3], 1, inside * shape[3], inside)
    x = torch.zeros(shape).as_strided(shape, strides)
    weight = torch.zeros(inside, inside, 1, 1).as_strided(
        (inside, inside, 1, 1), (inside, 1, inside, inside)
    )
    plain.convolve(x, weight, None, options(), transposed=transposed)
    wanted = [torch.empty(shape).stride(), torch.empty(weight.shape).stride()]
    assert given == wanted


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_few_channels_of_every_second_pixel_have_the_right_gradient(kind):
    # with channels last torch 2.13 writes past the end of memory here, or hangs
    (inside, outside), (large, small) = (4, 8), (32, 16)
    size = large if kind == "Convolution" else small
    net = caffe_pb2.NetParameter(force_backward=True)
    layer = net.layer.add(name="x", type="Input", top=["x"])
    if kind == "Deconvolution":
        inside, outside = outside, inside
    layer.input_param.shape.add(dim=[32, inside, size, size])
    layer = net.layer.add(name="c", type=kind, bottom=["x"], top=["y"])
    chosen = layer.convolution_param
    chosen.num_output, chosen.bias_term = outside, False
    chosen.kernel_size.append(1)
    chosen.stride.append(2)
    chosen.weight_filler.type = "msra"
    made = caffe.Net(net, caffe.TRAIN)
    rng = np.random.default_rng(0)
    x = rng.random(made.blobs["x"].data.shape, np.float32)
    made.forward(x=x)
    top = made.blobs["y"]
    diff = rng.random(top.data.shape, np.float32)
    made.backward(y=diff)
    if kind == "Convolution":
        want = np.einsum("nchw,nkhw->kc", x[..., ::2, ::2], diff)
    else:
        want = np.einsum("nchw,nkhw->ck", x, diff[..., ::2, ::2])
    got = made.params["c"][0].diff[..., 0, 0]
    np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize(
    ("pad", "taken"), [((100, 100), True), ((0, 3), True), ((2, 2), False)]
)
def test_padding_that_holds_whole_windows_is_added_before(pad, taken):
    x = torch.ones(1, 2, 5, 6)
    wide, left = plain.widened(x, (3, 3), options(pad=pad))
    if not taken:
        assert wide is x
        assert left.pad == pad
        return
    assert left.pad == (0, 0)
    assert tuple(wide.shape[2:]) == (5 + 2 * pad[0], 6 + 2 * pad[1])
    assert wide.sum() == x.sum()
