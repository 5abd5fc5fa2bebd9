import math

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffe.engine.fillers import fill
from caffe.errors import CheckError
from caffe.proto import caffe_pb2


def filled(text, shape=(40, 30, 5, 5), seed=0):
    message = text_format.Parse(text, caffe_pb2.FillerParameter())
    return fill(message, shape, torch.Generator().manual_seed(seed))


def test_nothing_given_is_zero():
    blob = filled("", (2, 3))
    assert blob.dtype == torch.float32
    assert blob.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_constant():
    assert filled('type: "constant" value: -1.5', (2,)).tolist() == [-1.5, -1.5]


def test_uniform_stays_within_its_bounds():
    blob = filled('type: "uniform" min: 2 max: 4')
    assert 2 <= blob.min() < 2.01
    assert 3.99 < blob.max() <= 4
    assert blob.mean().item() == pytest.approx(3, abs=0.02)


def test_gaussian_has_mean_and_standard_deviation():
    blob = filled('type: "gaussian" mean: 1 std: 0.5')
    assert blob.mean().item() == pytest.approx(1, abs=0.02)
    assert blob.std().item() == pytest.approx(0.5, abs=0.02)


def test_sparse_gaussian_keeps_so_many_inputs_of_an_output_on_average():
    blob = filled('type: "gaussian" sparse: 5', (100, 400))
    # Caffe keeps each weight with probability sparse / outputs
    assert (blob != 0).float().mean().item() == pytest.approx(0.05, abs=0.005)


def test_positive_unitball_sums_to_one_for_each_output():
    blob = filled('type: "positive_unitball"', (3, 4, 2))
    assert (blob > 0).all()
    np.testing.assert_allclose(blob.sum((1, 2)), [1, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("norm", "fan"), [("", 750), ("FAN_IN", 750), ("FAN_OUT", 1000), ("AVERAGE", 875)]
)
def test_variance_norm_chooses_what_the_width_follows(norm, fan):
    option = f"variance_norm: {norm}" if norm else ""
    uniform = filled(f'type: "xavier" {option}')
    bound = math.sqrt(3 / fan)
    assert 0.999 * bound < uniform.abs().max().item() <= bound * (1 + 1e-6)
    normal = filled(f'type: "msra" {option}')
    assert normal.std().item() == pytest.approx(math.sqrt(2 / fan), rel=0.02)
    assert normal.mean().item() == pytest.approx(0, abs=0.001)


def test_a_vector_has_its_length_as_fan_out():
    blob = filled('type: "xavier" variance_norm: FAN_OUT', (300,))
    assert 0.09 < blob.abs().max().item() <= 0.1


def test_bilinear_is_the_upsampling_kernel():
    blob = filled('type: "bilinear"', (2, 1, 4, 4))
    line = np.array([0.25, 0.75, 0.75, 0.25])
    assert blob[1, 0].tolist() == np.outer(line, line).tolist()


def test_bilinear_of_odd_size():
    blob = filled('type: "bilinear"', (1, 1, 3, 3))
    line = np.array([0.5, 1, 0.5])
    assert blob[0, 0].tolist() == np.outer(line, line).tolist()


def test_the_generator_decides():
    text = 'type: "gaussian"'
    assert torch.equal(filled(text, seed=1), filled(text, seed=1))
    assert not torch.equal(filled(text, seed=1), filled(text, seed=2))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            'type: "he"',
            "unknown filler type 'he'; known types: bilinear, constant, gau",
        ),
        ('type: "uniform" min: 2 max: 1', "has min 2 above max 1"),
        ('type: "gaussian" std: 0', "has std 0: expected a value above 0"),
        ('type: "xavier" sparse: 3', "'xavier' has sparse: 3, which only 'gaussian'"),
        ('type: "bilinear"', r"got shape \(4, 3\): expected 4 axes, the last two"),
    ],
)
def test_refuses(text, match):
    with pytest.raises(CheckError, match=match):
        filled(text, (4, 3))


@pytest.mark.parametrize(
    "kind",
    [
        *("constant", "uniform", "gaussian", "positive_unitball"),
        *("xavier", "msra", "bilinear"),
    ],
)
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 0, 0, 0)])
def test_a_blob_without_elements_is_refused(kind, shape):
    with pytest.raises(CheckError, match="one element or more"):
        filled(f'type: "{kind}"', shape)


@pytest.mark.parametrize("option", ["max: nan", "min: nan", "min: inf", "max: -inf"])
def test_uniform_wants_an_order_of_its_bounds(option):
    with pytest.raises(CheckError, match="above max"):
        filled(f'type: "uniform" {option}')


@pytest.mark.parametrize("option", ["max: inf", "min: -inf", "min: -3e38 max: 3e38"])
def test_uniform_wants_a_finite_width(option):
    with pytest.raises(CheckError, match="difference within float32"):
        filled(f'type: "uniform" {option}')


def test_gaussian_refuses_a_deviation_that_is_no_number():
    with pytest.raises(CheckError, match="has std nan"):
        filled('type: "gaussian" std: nan')


@pytest.mark.parametrize("kind", ["positive_unitball", 'gaussian" sparse: 1 type: "'])
def test_a_blob_without_axes_has_no_outputs(kind):
    message = caffe_pb2.FillerParameter(type=kind.partition('"')[0])
    if "sparse" in kind:
        message.sparse = 1
    with pytest.raises(CheckError, match="without axes"):
        fill(message, (), torch.Generator())


@pytest.mark.parametrize("kind", ["xavier", "msra"])
def test_a_blob_without_axes_counts_as_one_output(kind):
    assert filled(f'type: "{kind}"', ()).shape == ()
