"""Expected values: the specification in loops and one distance map an instance."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt

from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import Annotation
from pyunet_fiji.finetuning.weights import find_gaps, loss_maps
from pyunet_fiji.modeldef import LossWeights

HALF_2D = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
HALF_3D = [(-1, *rest) for rest in itertools.product((-1, 0, 1), repeat=2)] + [
    (0, *step) for step in HALF_2D
]


def gaps_by_loops(classes, cells):
    """One frame: a pixel gives way to another instance that was visited before."""
    half = HALF_2D if classes.ndim == 2 else HALF_3D
    gaps = np.zeros(classes.shape, bool)
    for at in np.ndindex(classes.shape):
        if classes[at] < 2:
            continue
        instances = cells[classes[at] - 2]
        for step in half:
            there = tuple(a + b for a, b in zip(at, step, strict=True))
            if all(0 <= i < n for i, n in zip(there, classes.shape, strict=True)):
                gaps[at] |= instances[there] > 0 and instances[there] != instances[at]
    return gaps


def weights_by_formula(classes, cells, gaps, p):
    """One frame: the formula of the specification, in float64."""
    ratio = p.foreground_background_ratio
    weights = np.full(classes.shape, ratio)
    for instances in cells:
        numbers = np.unique(instances[instances > 0])
        distances = [distance_transform_edt(instances != n) for n in numbers]
        far = np.full(classes.shape, 1e20)
        d1, d2 = np.sort([*distances, far, far], axis=0)[:2]
        weights += p.border_weight_factor * np.exp(
            -((d1 + d2) ** 2) / (2 * p.border_weight_sigma_px**2)
        )
        weights += (1 - ratio) * np.exp(-(d1**2) / (2 * p.sigma1_px**2))
    weights[(classes >= 2) & ~gaps] = 1
    weights[classes == 0] = 0
    return weights


def annotations(axes):
    """Random annotations of two frames and two classes; instances may hide."""
    shape = st.tuples(st.just(2), *[st.integers(1, 9)] * axes)
    return shape.flatmap(
        lambda size: st.tuples(
            arrays.arrays(np.uint8, size, elements=st.integers(0, 3)),
            arrays.arrays(np.int32, (2, 2, *size[1:]), elements=st.integers(0, 4)),
        )
    ).map(lambda both: Annotation(both[0], consistent(*both)))


def consistent(classes, instances):
    """Every pixel of a class belongs to an instance of it."""
    for number in range(2):
        own = classes == number + 2
        cells = instances[:, number]
        cells[own & (cells == 0)] = 9
    return instances


@pytest.mark.parametrize("axes", [2, 3])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_gaps_and_weights_follow_the_specification(axes, data):
    annotation = data.draw(annotations(axes))
    parameters = data.draw(
        st.sampled_from([LossWeights(), LossWeights(3.0, 1.5, 0.25, 2.0)])
    )
    maps = loss_maps(annotation, parameters)
    frames = zip(annotation.classes, annotation.instances, strict=True)
    for number, (classes, cells) in enumerate(frames):
        gaps = gaps_by_loops(classes, cells)
        np.testing.assert_array_equal(find_gaps(annotation)[number], gaps)
        np.testing.assert_allclose(
            maps.weights[number],
            weights_by_formula(classes, cells, gaps, parameters),
            atol=1e-5,
        )
        foreground = (classes >= 2) & ~gaps
        np.testing.assert_array_equal(
            maps.labels[number], np.where(foreground, classes - 1.0, 0)
        )
        sampling = np.where(foreground, 1, parameters.foreground_background_ratio)
        np.testing.assert_array_equal(
            maps.sampling[number], np.where(classes == 0, 0, sampling).astype("f4")
        )


def test_many_scattered_instances_are_weighed_exactly():
    rng = np.random.default_rng(0)
    classes = np.ones((1, 90, 110), np.uint8)
    cells = np.zeros((1, 1, 90, 110), np.int32)
    for number in range(1, 25):
        y, x = rng.integers(0, (80, 100))
        part = np.s_[0, y : y + rng.integers(1, 15), x : x + rng.integers(1, 15)]
        classes[part], cells[:, 0][part] = 2, number
    expected = weights_by_formula(
        classes[0], cells[0], gaps_by_loops(classes[0], cells[0]), LossWeights()
    )
    found = loss_maps(Annotation(classes, cells), LossWeights()).weights[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def row(classes, *cells):
    return Annotation(
        np.array([[classes]], np.uint8),
        np.array([[[each] for each in cells]], np.int32),
    )


def test_a_single_instance_has_no_border_term():
    # 0.1 + 0.9 exp(-d^2 / 200) at d = 3, 2, 1
    maps = loss_maps(row([1, 1, 1, 2], [0, 0, 0, 1]), LossWeights())
    np.testing.assert_allclose(
        maps.weights.ravel(), [0.9603977, 0.9821788, 0.9955113, 1], rtol=1e-6
    )


def test_a_gap_weighs_as_background_that_touches_both():
    # d1 = 0, d2 = 1: 0.1 + 50 exp(-1 / 72) + 0.9
    maps = loss_maps(row([2, 2, 2], [1, 2, 2]), LossWeights())
    assert maps.labels.tolist() == [[[1, 0, 1]]]
    np.testing.assert_allclose(maps.weights.ravel(), [1, 50.310356, 1], rtol=1e-6)
    assert maps.sampling.tolist() == [[[1, pytest.approx(0.1), 1]]]


def test_two_classes_may_touch_without_a_gap():
    maps = loss_maps(row([2, 3], [1, 0], [0, 1]), LossWeights())
    assert maps.labels.tolist() == [[[1, 2]]]


def test_classes_add_up():
    # each class at distance 1: 0.1 + 2 * 0.9 exp(-1 / 200)
    maps = loss_maps(row([2, 1, 3], [1, 0, 0], [0, 0, 1]), LossWeights())
    assert maps.weights[0, 0, 1] == pytest.approx(1.8910225, rel=1e-6)


def test_frames_do_not_see_each_other():
    classes = np.array([[[2, 1, 1]], [[1, 1, 1]]], np.uint8)
    cells = np.array([[[[1, 0, 0]]], [[[0, 0, 0]]]], np.int32)
    maps = loss_maps(Annotation(classes, cells), LossWeights())
    np.testing.assert_allclose(maps.weights[1], 0.1, rtol=1e-6)


def test_what_is_ignored_weighs_nothing_but_keeps_its_instance():
    ignored = loss_maps(row([0, 1, 2], [1, 0, 2]), LossWeights())
    annotated = loss_maps(row([2, 1, 2], [1, 0, 2]), LossWeights())
    assert ignored.weights[0, 0, 0] == ignored.sampling[0, 0, 0] == 0
    assert ignored.weights[0, 0, 1] == annotated.weights[0, 0, 1] > 40


@pytest.mark.parametrize(
    "parameters",
    [
        LossWeights(sigma1_px=0),
        LossWeights(foreground_background_ratio=-0.1),
        LossWeights(border_weight_sigma_px=0),
        LossWeights(border_weight_factor=-1),
    ],
)
def test_impossible_parameters_are_an_error(parameters):
    with pytest.raises(DataError, match=r"expected|accepted are"):
        loss_maps(row([1, 2], [0, 1]), parameters)
