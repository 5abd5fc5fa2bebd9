"""Mean field of a conditional random field, and its filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe.dialects.crfrnn.lattice import Lattice, gaussian
from caffe.errors import CheckError, FileError
from caffe.proto.files import read_net_binary
from tests.support.layers import (
    check_gradient,
    check_layer,
    forward,
    make_context,
    make_layer,
    shapes_of,
)

OPTIONS = """multi_stage_meanfield_param { num_iterations: 2 theta_alpha: 8
  theta_beta: 20 theta_gamma: 2 %s }"""
SHAPES = [(1, 2, 4, 5), (1, 2, 4, 5), (1, 3, 4, 5)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def points(count: int, axes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(axes)
    return torch.rand(count, axes, generator=generator) * 4


def diagonals(options: str) -> list[list[float]]:
    specs = make_layer("MultiStageMeanfield", options, bottoms=3).parameters(SHAPES)
    return [spec.filler.diag().tolist() for spec in specs]


@pytest.mark.parametrize("axes", [1, 2, 5])
def test_a_filter_is_about_a_gaussian(axes):
    places = points(400, axes)
    values = torch.rand(400, 2, generator=torch.Generator().manual_seed(1))
    lattice = Lattice(places)
    got = lattice.filter(values) / lattice.filter(torch.ones(400, 1))
    near = (-0.5 * torch.cdist(places, places) ** 2).exp()
    exact = near @ values / near.sum(1, keepdim=True)
    for channel in range(2):
        pair = torch.stack([got[:, channel], exact[:, channel]])
        assert torch.corrcoef(pair)[0, 1] > 0.9


def test_a_filter_backward_is_its_transpose():
    lattice = Lattice(points(60, 5))
    one, other = torch.rand(60, 1).double(), torch.rand(60, 1).double()
    there = (one * lattice.filter(other)).sum()
    back = (lattice.filter(one, backward=True) * other).sum()
    torch.testing.assert_close(there, back)


def test_the_gradient_of_a_filter_is_the_derivative():
    lattice = Lattice(points(12, 3))
    values = torch.rand(12, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: gaussian(v, lattice), values)


def test_points_that_are_far_apart_do_not_mix():
    lattice = Lattice(torch.tensor([[0.0, 0], [0, 0], [1000, 1000]]))
    found = lattice.filter(torch.eye(3))
    assert found[2, :2].tolist() == found[:2, 2].tolist() == [0, 0]
    assert found[0, 1] == found[0, 0] > 0


def test_points_beyond_all_numbers_are_refused():
    with pytest.raises(CheckError, match=r"span .* expected larger theta_alpha"):
        Lattice(torch.rand(10, 5) * 1e6)


def test_the_gradient_of_a_mean_field_is_the_derivative():
    unary, image = torch.randn(1, 2, 3, 3), torch.rand(1, 3, 3, 3) * 255
    check_gradient("MultiStageMeanfield", OPTIONS % "", [unary, unary * 0.5, image])


def test_without_weights_the_potentials_are_the_answer():
    options = "spatial_filter_weight: 0 bilateral_filter_weight: 0"
    layer = make_layer("MultiStageMeanfield", OPTIONS % options, bottoms=3)
    bottoms = [torch.randn(2, 4, 5, 6) for _ in range(2)]
    bottoms.append(torch.rand(2, 3, 5, 6) * 255)
    (top,) = forward(layer, bottoms, make_context())
    torch.testing.assert_close(top, bottoms[0])


def test_a_lonely_pixel_takes_the_class_of_its_neighbours():
    unary = torch.zeros(1, 2, 7, 7)
    unary[:, 0], unary[0, :, 3, 3] = 1, torch.tensor([0.0, 0.3])
    options = "spatial_filter_weight: 3 bilateral_filter_weight: 5"
    layer = make_layer("MultiStageMeanfield", OPTIONS % options, bottoms=3)
    bottoms = [unary, unary, torch.full((1, 3, 7, 7), 90.0)]
    (top,) = forward(layer, bottoms, make_context())
    assert top.argmax(1).max() == 0


def test_tops_have_the_shape_of_the_potentials():
    params = [(1, 1, 2, 2)] * 3
    check_layer("MultiStageMeanfield", OPTIONS % "", SHAPES, SHAPES[:1], params)


def test_first_weights_come_from_options_or_files(folder):
    assert diagonals(OPTIONS % "") == [[0, 0], [10, 10], [-1, -1]]
    (folder / "spatial.par").write_text("3\n4\n5\n")
    given = 'bilateral_filter_weights_str: "6, 7"'
    assert diagonals(OPTIONS % given) == [[3, 4], [6, 7], [-1, -1]]
    one = "spatial_filter_weight: 2"
    assert diagonals(OPTIONS % one)[0] == [2, 2]


def test_a_file_of_too_few_weights_is_named(folder):
    (folder / "spatial.par").write_text("3")
    with pytest.raises(FileError, match=r"spatial\.par: has 1 numbers: expected 2"):
        diagonals(OPTIONS % "")
    (folder / "spatial.par").write_text("3 x")
    with pytest.raises(FileError, match=r"spatial\.par: expected numbers"):
        diagonals(OPTIONS % "")


@pytest.mark.parametrize(
    ("options", "shapes", "message"),
    [
        (
            OPTIONS.replace("num_iterations: 2", "num_iterations: 1") % "",
            SHAPES,
            "iterations is 1",
        ),
        (OPTIONS.replace("theta_beta: 20", "theta_beta: 0") % "", SHAPES, "beta is 0"),
        (OPTIONS % "ho_potentials_enabled: true", SHAPES, "ho_potentials_enabled"),
        (OPTIONS % "", [SHAPES[0], (1, 2, 4, 4), SHAPES[2]], "the same 4 axes"),
        (OPTIONS % "", [*SHAPES[:2], (1, 1, 4, 5)], r"expected \(1,3,4,5\)"),
    ],
)
def test_bottoms_and_options_that_do_not_fit_are_refused(options, shapes, message):
    with pytest.raises(CheckError, match=message):
        shapes_of("MultiStageMeanfield", options, shapes)


def test_the_published_net_is_read_with_its_options():
    text = """
    layer { name: "inference1" type: "MultiStageMeanfield" bottom: "unary"
      bottom: "Q0" bottom: "data" top: "pred"
      param { lr_mult: 10000 } param { lr_mult: 10000 } param { lr_mult: 1000 }
      multi_stage_meanfield_param { num_iterations: 10 compatibility_mode: POTTS
        threshold: 2 theta_alpha: 160 theta_beta: 3 theta_gamma: 3
        spatial_filter_weight: 3 bilateral_filter_weight: 5 } }
    """
    (layer,) = caffe.parse_net(text).layer
    assert layer.multi_stage_meanfield_param.theta_alpha == 160


def test_binary_nets_have_the_options_under_1001(tmp_path):
    floats = b"".join(
        bytes([number << 3 | 5]) + np.float32(number).tobytes() for number in (3, 4, 5)
    )
    options = floats + b"\x30\x0a"
    body = (
        b"\n\x01m\x12\x13MultiStageMeanfield\xca\x3e" + bytes([len(options)]) + options
    )
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\xa2\x06" + bytes([len(body)]) + body)
    (layer,) = read_net_binary(path).layer
    found = layer.multi_stage_meanfield_param
    assert (found.theta_beta, found.num_iterations) == (4, 10)
