"""A seed gives the same deformations and curves in every version and on every device.

The stored numbers are those of version 0.3.0.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from caffe.dialects.freiburg.layers import deformation
from tests.support.layers import make_context, run_layer
from tests.support.stored import load_arrays

STORED = Path(__file__).with_name("augmentation_draws.npz")
FIELDS = {
    "plane": """
        ny: 12 nx: 10 batch_size: 2 random_elastic_grid_spacing { v: 4 v: 5 }
        random_elastic_deform_magnitude { v: 10 v: 5 }
        random_rotate_from { v: 0 } random_rotate_to { v: 360 }
        random_offset_from { v: -8 v: -8 } random_offset_to { v: 8 v: 8 }""",
    "volume": """
        nz: 4 ny: 6 nx: 5 ncomponents: 3 voxel_relsize_z: 2.5
        random_elastic_grid_spacing { v: 3 v: 2 v: 4 }
        random_elastic_deform_magnitude { v: 1 v: 3 v: 4 }
        random_rotate_from { v: 0 v: -10 v: -10 }
        random_rotate_to { v: 360 v: 10 v: 10 }""",
    "planes": """
        nz: 3 ny: 6 nx: 5 random_elastic_grid_spacing { v: 5 v: 3 v: 2 }
        random_elastic_deform_magnitude { v: 3 v: 4 }
        random_rotate_from { v: 0 } random_rotate_to { v: 360 }""",
    "pdf": """
        ny: 6 nx: 7 random_rotate_from { v: 0 } random_rotate_to { v: 360 }
        random_offset_range_from_pdf: true""",
}
CURVES = """value_augmentation_param { black_from: -0.05 black_to: 0.05
    white_from: 0.95 white_to: 1.05 slope_min: 0.8 slope_max: 1.2 }"""
PDF = np.arange(2 * 9 * 8).reshape(2, 1, 9, 8) % 7
GREY = np.linspace(-0.1, 1.1, 60, dtype=np.float32).reshape(2, 1, 30)


def field(name, device=None):
    """A field, and the number that the stream gives next."""
    context = make_context(seed=7)
    bottoms = [torch.from_numpy(PDF.astype(np.float32))] if name == "pdf" else []
    if device is not None:
        context.device, context.gpu = device, True
        bottoms = [bottom.to(device) for bottom in bottoms]
    options = f"create_deformation_param {{ {FIELDS[name]} }}"
    (top,) = run_layer("CreateDeformation", options, bottoms, context=context)
    return top, context.rng.integers(2**31)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_those_of_the_first_version(name):
    stored = load_arrays(STORED)
    top, following = field(name)
    assert following == stored[f"{name}_next"]
    # bit for bit where numpy multiplies matrices as it did there; coordinates to 50
    np.testing.assert_allclose(top.numpy(), stored[name], rtol=0, atol=1e-5)


def test_curves_are_those_of_the_first_version():
    stored = load_arrays(STORED)
    context = make_context(seed=3)
    (top,) = run_layer("ValueAugmentation", CURVES, [GREY], context=context)
    assert context.rng.integers(2**31) == stored["values_next"]
    np.testing.assert_allclose(top.numpy(), stored["values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FIELDS)
def test_what_other_devices_compute_is_what_the_cpu_does(name, monkeypatch):
    want, next_of_cpu = field(name)

    def as_on_a_device(points, splines, device):
        tensors = [torch.from_numpy(spline) for spline in splines]
        return deformation.interpolated(torch.from_numpy(points), tensors)

    monkeypatch.setattr(deformation, "upsampled", as_on_a_device)
    got, next_of_device = field(name)
    assert next_of_device == next_of_cpu
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_samples_of_a_batch_are_computed_alike_alone_and_together():
    rng = np.random.default_rng(0)
    moves = torch.from_numpy(rng.standard_normal((3, 2, 7, 6), np.float32))
    rows = torch.from_numpy(rng.standard_normal((3, 2, 4), np.float32))
    # a device that is no CPU takes them all at once
    together = deformation.deformation((7, 6), moves.to("meta"), rows.to("meta"))
    assert together.shape == (3, 7, 6, 2)
    splines = [np.ones((7, 3), np.float32), np.ones((6, 4), np.float32)]
    points = np.ones((3, 2, 3, 4), np.float32)
    bent = deformation.upsampled(points, splines, torch.device("meta"))
    assert bent.shape == moves.shape
    assert bent.dtype == torch.float32
    whole = deformation.deformation((7, 6), moves, rows)
    for n in range(3):
        part = deformation.deformation((7, 6), moves[n : n + 1], rows[n : n + 1])
        assert torch.equal(part[0], whole[n])


@pytest.mark.gpu
class TestOnAGPU:
    device = torch.device("cuda", 0)

    @pytest.mark.parametrize("name", FIELDS)
    def test_fields_are_those_of_the_cpu(self, name):
        want, next_of_cpu = field(name)
        got, next_of_gpu = field(name, self.device)
        assert got.device == self.device
        assert next_of_gpu == next_of_cpu
        torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("interpolation", ["linear", "nearest"])
    @pytest.mark.parametrize("extrapolation", ["mirror", "zero"])
    def test_images_are_read_as_on_the_cpu(self, interpolation, extrapolation):
        options = (
            f'apply_deformation_param {{ interpolation: "{interpolation}" '
            f'extrapolation: "{extrapolation}" }}'
        )
        image, places = torch.rand(2, 3, 9, 8), field("plane")[0]
        (want,) = run_layer("ApplyDeformation", options, [image, places])
        on_gpu = [image.to(self.device), places.to(self.device)]
        (got,) = run_layer("ApplyDeformation", options, on_gpu)
        torch.testing.assert_close(got.cpu(), want, rtol=0, atol=1e-5)

    def test_values_are_those_of_the_cpu(self):
        tops = []
        for device in (torch.device("cpu"), self.device):
            context = make_context(seed=3)
            context.device = device
            image = torch.from_numpy(GREY).to(device)
            (top,) = run_layer("ValueAugmentation", CURVES, [image], context=context)
            tops.append(top.cpu())
        torch.testing.assert_close(tops[1], tops[0], rtol=0, atol=1e-5)
