import math

import numpy as np
import pytest

from pyunet.errors import DataError
from pyunet_metrics.inputs import instances_of, prediction_of


def _row(*values, dtype=None):
    return np.array(values, dtype).reshape(1, 1, 1, -1)


class TestPredictionOf:
    @pytest.mark.parametrize("values", [(0, 1, 1), (0, 255, 255)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_takes_two_values_for_labels(self, values, dtype):
        found = prediction_of(_row(*values, dtype=dtype))
        assert found.probability.tolist() == [[[0, 1, 1]]]
        assert found.classes.tolist() == [[[0, 1, 1]]]
        assert found.sentence.startswith("labels")

    def test_divides_an_8_bit_map_by_255_and_says_so(self):
        found = prediction_of(_row(0, 51, 255, dtype=np.uint8))
        np.testing.assert_allclose(found.probability, [[[0, 0.2, 1]]], rtol=1e-6)
        assert "divided by 255" in found.sentence

    def test_keeps_float_probabilities(self):
        found = prediction_of(_row(0.25, 0.5, 0.75))
        assert found.probability.tolist() == [[[0.25, 0.5, 0.75]]]
        assert found.classes.tolist() == [[[0, 0, 1]]]

    def test_gives_scores_a_softmax(self):
        scores = np.array([1.0, 1.0 + math.log(3)]).reshape(1, 2, 1, 1)
        found = prediction_of(scores, "scores")
        np.testing.assert_allclose(found.probability, [[[0.75]]])
        assert found.classes.tolist() == [[[1]]]

    def test_gives_no_softmax_to_probabilities(self):
        shares = np.array([0.8, 0.2]).reshape(1, 2, 1, 1)
        assert prediction_of(shares, "probabilities").probability.item() == 0.2

    def test_takes_one_channel_of_probabilities_for_that_of_inside(self):
        found = prediction_of(_row(0.25, 0.75), "probabilities")
        assert found.probability.tolist() == [[[0.25, 0.75]]]

    def test_gives_scores_of_one_class_a_sigmoid(self):
        found = prediction_of(_row(-math.log(3), math.log(3)), "scores")
        np.testing.assert_allclose(found.probability, [[[0.25, 0.75]]])
        assert found.classes.tolist() == [[[0, 1]]]

    def test_adds_up_all_classes_but_0(self):
        shares = np.array([0.4, 0.25, 0.35]).reshape(1, 3, 1, 1)
        found = prediction_of(shares, "probabilities")
        np.testing.assert_allclose(found.probability, [[[0.6]]])
        assert (found.classes.item(), found.count) == (0, 3)
        assert "classes 1 to 2 are inside" in found.sentence

    @pytest.mark.parametrize(
        ("array", "values", "text"),
        [
            (_row(0.5, np.nan), None, "NaN"),
            (_row(-2.0, 3.0), None, r"values from -2 to 3; .*0\.\.1"),
            (_row(0, 1, 2, dtype=np.uint8), None, "3 values from 0 to 2; expected"),
            (_row(0, 900, dtype=np.uint16), None, "uint16 values 0 and 900; expected"),
            (np.zeros((1, 2, 4, 4)), None, "2 channels; expected 1"),
            (np.zeros((1, 2, 4, 4)), "logits", "pyunet_values = logits; expected"),
            (np.full((1, 2, 4, 4), 9.0), "probabilities", "from 9 to 9"),
        ],
    )
    def test_refuses_numbers_without_a_clear_meaning(self, array, values, text):
        with pytest.raises(DataError, match=text):
            prediction_of(array, values)


class TestInstancesOf:
    def test_keeps_the_numbers_and_takes_all_but_0_for_inside(self):
        found = instances_of(_row(0, 7, 900))
        assert found.classes.ravel().tolist() == [0, 7, 900]
        assert found.probability.ravel().tolist() == [0, 1, 1]
        assert found.sentence == "object numbers, 2 of them"

    @pytest.mark.parametrize("values", [(0, 0.5), (0, -1)])
    def test_refuses_what_are_no_object_numbers(self, values):
        with pytest.raises(DataError, match="expected object numbers"):
            instances_of(_row(*values))

    def test_refuses_two_channels(self):
        with pytest.raises(DataError, match=r"has 2 channel\(s\)"):
            instances_of(np.zeros((1, 2, 3, 3), int))
