import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet_metrics import isbi2012
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics"
EXPECTED = json.loads((REFERENCE / "expected.json").read_text())["cases"]


class TestEvaluate:
    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_gives_the_numbers_of_the_official_program(self, name):
        arrays = load_arrays(REFERENCE / f"{name}.npz")
        found = isbi2012.evaluate(arrays["labels"], arrays["proposal"])
        expected = {k: float(v) for k, v in EXPECTED[name]["summary"].items()}
        assert found == pytest.approx(expected, abs=1e-9, rel=0)

    def test_agrees_with_the_functions_for_single_metrics(self):
        arrays = load_arrays(REFERENCE / "small16.npz")
        pair = arrays["labels"], arrays["proposal"]
        expected = EXPECTED["small16"]["summary"]
        for name in ("pixel_error", "rand_error", "v_rand", "v_info"):
            found = getattr(isbi2012, name)(*pair)
            assert found == pytest.approx(expected[name], abs=1e-9)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_is_perfect_for_the_truth_itself(self, seed):
        truth = np.random.default_rng(seed).random((2, 9, 11)) < 0.5
        truth[:, 0, :3] = [1, 0, 1]
        found = isbi2012.evaluate(truth, truth)
        assert found["pixel_error"] == found["rand_error"] == 0
        assert found["rand_error_2014"] == found["rand_error_classic"] == 0


class TestVRand:
    def test_does_not_care_how_thick_the_membrane_is_drawn(self):
        truth = np.ones((5, 11))
        truth[:, 5] = 0
        thick = truth.copy()
        thick[:, 3:8] = 0
        assert isbi2012.v_rand(truth, thick) == 1
        assert isbi2012.rand_error(truth, thick) > 0.1

    def test_of_a_gap_in_the_membrane_is_that_of_one_merged_object(self):
        truth = np.ones((5, 11))
        truth[:, 5] = 0
        open_membrane = truth.copy()
        open_membrane[2, 5] = 1
        # two objects of 25 pixels as one: precision 1/2, recall 1
        assert isbi2012.v_rand(truth, open_membrane) == pytest.approx(2 / 3)

    def test_counts_a_slice_without_objects_as_0(self):
        truth = np.array([[[1, 0, 1]], [[0, 0, 0]]])
        assert isbi2012.v_rand(truth, truth) == 0.5

    def test_of_a_prediction_of_membrane_only_is_that_of_one_object(self):
        # two objects of one pixel, found as one: precision 2/4, recall 1
        assert isbi2012.v_rand([[1, 0, 1]], [[0, 0, 0]]) == pytest.approx(2 / 3)


class TestVInfo:
    def test_of_a_single_object_is_0_even_if_it_is_found(self):
        assert isbi2012.v_info([[1, 1]], [[1, 1]]) == 0


class TestPixelError:
    def test_pools_the_pixels_of_all_slices(self):
        # 2 of 2 and 1 of 2 inside pixels found: precision 1, recall 3/4
        error = isbi2012.pixel_error([[[1, 1]], [[1, 1]]], [[[1, 1]], [[1, 0]]])
        assert error == pytest.approx(1 / 7)

    def test_keeps_the_best_of_the_thresholds(self):
        assert isbi2012.pixel_error([[1, 1, 0]], [[0.7, 0.65, 0.55]]) == 0

    def test_takes_every_value_but_0_of_the_truth_for_inside(self):
        assert isbi2012.pixel_error([[7, 255, 0]], [[1, 1, 0]]) == 0


class TestRandError:
    def test_is_1_if_a_slice_of_the_truth_has_no_object(self):
        truth = np.array([[[1, 0, 1]], [[0, 0, 0]]])
        assert isbi2012.rand_error(truth, truth) == 1

    def test_counts_a_prediction_of_single_pixels(self):
        # 2 pixels apart instead of together: of 4 ordered pairs 2 are kept
        assert math.isclose(isbi2012.rand_error([[1, 1]], [[0, 0]]), 1 / 3)
