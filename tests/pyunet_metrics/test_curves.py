import json
from pathlib import Path

import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_metrics.contingency import f_score
from pyunet_metrics.curves import THRESHOLDS, Best, Curves
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics"
EXPECTED = json.loads((REFERENCE / "expected.json").read_text())["cases"]


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def case(request):
    arrays = load_arrays(REFERENCE / f"{request.param}.npz")
    curves = Curves(arrays["labels"], arrays["proposal"])
    return curves, EXPECTED[request.param]


def _numbers(values):
    return np.array([float(value) for value in values])  # "NaN" is a string there


class TestCurves:
    """Each threshold of the stored answers of the official program."""

    def test_pixel_scores(self, case):
        curves, expected = case
        found = f_score(curves.counts["pixel"].sum(axis=1))
        np.testing.assert_allclose(found, _numbers(expected["pixel_f"]), atol=1e-12)

    def test_rand_scores(self, case):
        curves, expected = case
        found = f_score(curves.counts["rand"].sum(axis=1))
        np.testing.assert_allclose(found, _numbers(expected["rand_f"]), atol=1e-12)

    def test_thinned_rand_scores(self, case):
        curves, expected = case
        found = f_score(curves.counts["v_rand"]).mean(axis=1)
        np.testing.assert_allclose(found, _numbers(expected["v_rand"]), atol=1e-12)

    def test_thinned_information_scores(self, case):
        curves, expected = case
        found = curves.counts["v_info"][..., 0].mean(axis=1)
        np.testing.assert_allclose(found, _numbers(expected["v_info"]), atol=1e-12)

    def test_follows_only_the_rules_that_are_asked_for(self):
        assert list(Curves([[1, 0]], [[1, 0]], ["pixel"]).counts) == ["pixel"]

    def test_says_where_a_score_is_best_and_what_each_slice_has_there(self):
        truth = [[[1, 1, 0, 0]], [[1, 1, 0, 0]]]
        prediction = [[[0.9, 0.9, 0.25, 0.25]], [[0.9, 0.9, 0.9, 0.25]]]
        found = Curves(truth, prediction, ["pixel"]).pixel_error()
        # above 0.3 both slices find both pixels, the second one more: F = 8/9, 1, 4/5
        assert found.threshold == pytest.approx(0.3)
        assert found.value == pytest.approx(1 / 9)
        assert found.slices == pytest.approx([0, 1 / 5])

    def test_has_no_best_threshold_where_no_score_is_above_0(self):
        found = Curves([[1, 1]], [[0, 0]], ["pixel"]).pixel_error()
        assert found == Best(1.0, None, [1.0])


def test_thresholds_are_repeated_sums_of_a_tenth():
    assert len(THRESHOLDS) == 11
    assert THRESHOLDS[3] == 0.30000000000000004
    assert THRESHOLDS[-1] == 0.9999999999999999


@pytest.mark.parametrize(
    ("truth", "prediction", "text"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), r"\(2, 3\).*\(3, 2\).*same shape"),
        (np.ones(4), np.ones(4), r"\(4,\).*expected"),
        (np.ones((0, 4, 4)), np.ones((0, 4, 4)), r"\(0, 4, 4\)"),
        (np.ones((1, 2)), np.array([[1, np.nan]]), "prediction has NaN"),
        (np.array([[1, np.nan]]), np.ones((1, 2)), "truth has NaN"),
    ],
)
def test_refuses_arrays_that_cannot_be_compared(truth, prediction, text):
    with pytest.raises(DataError, match=text):
        Curves(truth, prediction)
