"""Expected values: the formulas of the specification in float64, hand calculation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_fiji.modeldef.normalisation import normalise


def by_formula(frame, kind):
    values = frame.astype(np.float64)
    if kind == 1:
        return (values - values.min()) / (values.max() - values.min())
    if kind == 2:
        return (values - values.mean()) / values.std()
    if kind == 3:
        return values / np.sqrt((values**2).sum(axis=0).max())
    return values


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3),
    st.sampled_from([(2, 1, 4, 5), (1, 3, 4, 5), (2, 2, 3, 4, 5)]),
    st.integers(0, 2**32 - 1),
)
def test_every_frame_is_normalised_by_itself_over_channels_and_slices(
    kind, shape, seed
):
    images = np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)
    expected = np.stack([by_formula(frame, kind) for frame in images])
    found = normalise(images, kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_the_smallest_becomes_0_and_the_largest_1():
    image = np.array([[[[10, 20]], [[30, 60]]]], np.uint8)  # two channels
    np.testing.assert_allclose(normalise(image, 1).ravel(), [0, 0.2, 0.4, 1], rtol=1e-6)


def test_the_deviation_is_that_of_the_population():
    # mean 4, deviation sqrt((9 + 1 + 1 + 9) / 4)
    image = np.array([[[[1, 3, 5, 7]]]])
    expected = np.array([-3, -1, 1, 3]) / np.sqrt(5)
    np.testing.assert_allclose(normalise(image, 2).ravel(), expected, rtol=1e-6)


def test_the_longest_vector_of_channels_becomes_1():
    # lengths 5 and 1; nothing is shifted
    image = np.array([[[[3, 0]], [[4, -1]]]])
    np.testing.assert_allclose(
        normalise(image, 3).ravel(), [0.6, 0, 0.8, -0.2], rtol=1e-6
    )


def test_a_large_image_keeps_its_digits():
    image = np.random.default_rng(0).integers(20000, 20100, (1, 1, 2000, 1000))
    found = normalise(image, 2)
    assert abs(found.mean(dtype=float)) < 1e-3
    assert found.std(dtype=float) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("kind", "value"), [(1, 7), (2, 7), (2, 0.1), (3, 0)])
def test_an_image_of_one_value_is_an_error_that_names_it(kind, value):
    images = np.random.default_rng(0).random((2, 1, 30, 30))
    images[1] = value
    with pytest.raises(
        DataError, match=rf"^cells.tif, frame 2: the grey value is {value} everywhere"
    ):
        normalise(images, kind, name="cells.tif")


def test_an_image_of_one_value_stays_without_normalisation():
    assert normalise(np.full((1, 1, 2, 2), 7), 0).tolist() == [[[[7, 7], [7, 7]]]]


def test_one_value_other_than_zero_has_a_vector_norm():
    assert normalise(np.full((1, 1, 1, 2), 7), 3).tolist() == [[[[1, 1]]]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(bad):
    with pytest.raises(DataError, match=r"^a\.tif: has NaN or infinite grey values$"):
        normalise(np.array([[[[1, bad]]]]), 1, name="a.tif")


@pytest.mark.parametrize("kind", [-1, 4])
def test_another_kind_is_an_error(kind):
    with pytest.raises(DataError, match=f"normalization_type {kind}; accepted are 0"):
        normalise(np.zeros((1, 1, 2, 2)), kind)
