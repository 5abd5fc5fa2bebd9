"""Layers of DeconvNet, and the BN of CaffeMex_v2."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import CheckError
from caffe.proto.files import read_net_binary
from tests.support.layers import (
    check_gradient,
    check_layer,
    forward,
    make_context,
    make_layer,
    run_layer,
    shapes_of,
)

WINDOWS = "unpooling_param { unpool: %s kernel_size: 3 stride: 2 unpool_size: 6 }"


def spread(x: np.ndarray, share: bool) -> np.ndarray:
    """Window by window."""
    top = np.zeros((*x.shape[:2], 6, 6))
    for i, j in np.ndindex(*x.shape[2:]):
        window = np.s_[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        height, width = top[window].shape[2:]
        value = x[:, :, i, j, None, None]
        top[window] += value / (height * width) if share else value
    return top


@pytest.mark.parametrize(("method", "share"), [("AVE", True), ("TILE", False)])
def test_windows_that_overlap_are_added_and_end_with_the_plane(method, share):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    (top,) = run_layer("Unpooling", WINDOWS % method, [x])
    np.testing.assert_allclose(top, spread(x, share), rtol=1e-5, atol=1e-6)


def test_tiles_get_the_mean_of_their_gradients():
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    (top,) = run_layer(
        "Unpooling",
        "unpooling_param { unpool: TILE kernel_size: 2 stride: 2 unpool_size: 4 }",
        [x],
    )
    top.backward(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert x.grad.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize("method", ["AVE", "MAX"])
def test_the_gradient_is_the_derivative(method):
    check_gradient("Unpooling", WINDOWS % method, [(1, 2, 3, 3)])


def test_largest_values_go_to_their_places_or_to_the_corner():
    x, places = np.array([[[[1, 2]]]]), np.array([[[[7, 2]]]])
    options = """unpooling_param { kernel_h: 2 kernel_w: 2 stride_h: 2 stride_w: 2
      unpool_h: 2 unpool_w: 4 }"""
    (top,) = run_layer("Unpooling", options, [x, places])
    assert top.flatten().tolist() == [0, 0, 2, 0, 0, 0, 0, 1]
    (top,) = run_layer("Unpooling", options, [x])
    assert top.flatten().tolist() == [1, 0, 2, 0, 0, 0, 0, 0]


def test_the_bottom_stays_as_it_is():
    check_layer("Unpooling", WINDOWS % "TILE", [(2, 3, 3, 3)], [(2, 3, 6, 6)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("stride: 2 unpool_size: 6", "kernel_size is"),
        ("kernel_size: 2 stride: 2", "unpool_size is"),
        ("kernel_size: 2 unpool_h: 6", "expected unpool_size, or unpool_h and"),
        ("kernel_size: 2 unpool_size: 6 pad: 1", "pad is given"),
        ("kernel_size: 2 stride: 4 unpool_size: 6", "lies beyond the top"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(CheckError, match=message):
        shapes_of("Unpooling", f"unpooling_param {{ {options} }}", [(1, 1, 3, 3)])


@pytest.mark.parametrize("place", [-1, 36])
def test_a_place_beyond_the_plane_is_refused(place):
    bottoms = [(1, 1, 3, 3), np.full((1, 1, 3, 3), place)]
    with pytest.raises(CheckError, match=f"place {place}: expected 0 to 35"):
        run_layer("Unpooling", WINDOWS % "MAX", bottoms)


@pytest.mark.parametrize(
    ("options", "batch"),
    [("var_eps: 1e-5", False), ("var_eps: 1e-5 moving_average: false", True)],
)
def test_a_moving_normalization_may_use_the_batch_in_phase_test(options, batch):
    options = f"bn_param {{ scale_filler {{ value: 1 }} {options} }}"
    layer = make_layer("BN", options)
    x = torch.randn(3, 2, 4, 4)
    (top,) = forward(layer, [x], make_context())
    mean = x.mean((0, 2, 3), keepdim=True) if batch else 0
    variance = x.var((0, 2, 3), correction=0, keepdim=True) if batch else 0
    torch.testing.assert_close(top, (x - mean) / (variance + torch.tensor(1e-5)).sqrt())


def test_only_its_own_fields_make_a_normalization_caffemexs():
    def dialect_of(field: str) -> str:
        text = f'layer {{ type: "BN" bn_param {{ scale_filler {{ }} {field} }} }}'
        (layer,) = caffe.parse_net(text).layer
        return layer_class(layer.type, layer).dialect

    assert dialect_of("decay: 0.9") == "deconvnet"
    assert dialect_of("bn_mode: LEARN") == dialect_of("") == "segnet"


def test_a_net_of_deconvnet_is_read_by_its_numbers(tmp_path):
    def field(number: int, content: bytes | int) -> bytes:
        key = number << 3 | (0 if isinstance(content, int) else 2)
        tag = bytes([key & 127 | 128, key >> 7]) if key > 127 else bytes([key])
        if isinstance(content, int):
            return tag + bytes([content])
        return tag + bytes([len(content)]) + content

    layers = [
        field(4, b"up") + field(5, 42) + field(44, field(2, 2) + field(12, 14)),
        field(4, b"bn") + field(5, 43) + field(45, field(1, b"") + field(3, 1)),
    ]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"".join(field(2, layer) for layer in layers))
    unpooling, bn = read_net_binary(path).layer
    assert (unpooling.type, bn.type) == ("Unpooling", "BN")
    assert unpooling.unpooling_param.unpool_size == 14
    assert bn.bn_param.HasField("scale_filler")
    assert bn.bn_param.bn_mode == bn.bn_param.INFERENCE
