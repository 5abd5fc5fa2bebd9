import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_metrics import ranking


def _pixels(seed, levels=6):
    rng = np.random.default_rng(seed)
    truth = rng.random(40) < 0.4
    truth[:2] = [True, False]
    return truth, np.round(truth * 0.3 + rng.random(40), 1) * levels


class TestAgainstEveryPairAndThreshold:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_roc_auc_is_the_share_of_pairs_in_order_ties_half(self, seed):
        truth, values = _pixels(seed)
        pairs = np.sign(values[truth][:, None] - values[~truth])
        assert ranking.roc_auc(truth, values) == pytest.approx((pairs + 1).mean() / 2)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_best_f1_is_the_best_of_all_thresholds(self, seed):
        truth, values = _pixels(seed)
        scores = {}
        for threshold in values:
            positive = values >= threshold
            hits = (positive & truth).sum()
            scores[threshold] = 2 * hits / (positive.sum() + truth.sum())
        best, threshold = ranking.best_f1(truth, values)
        assert best == pytest.approx(max(scores.values()))
        assert scores[threshold] == pytest.approx(best)
        assert all(t <= threshold for t, s in scores.items() if s > best - 1e-12)


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("seed", range(5))
    def test_all_areas_are_the_same(self, seed):
        metrics = pytest.importorskip("sklearn.metrics")
        truth, values = _pixels(seed)
        precision, recall, _ = metrics.precision_recall_curve(truth, values)
        found = ranking.evaluate(truth, values)
        assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, values))
        assert found["average_precision"] == pytest.approx(
            metrics.average_precision_score(truth, values)
        )
        assert found["pr_auc"] == pytest.approx(metrics.auc(recall, precision))


class TestRanking:
    def test_by_a_constant_is_chance(self):
        found = ranking.evaluate([1, 0, 0, 0], [7, 7, 7, 7])
        assert found["roc_auc"] == 0.5
        assert found["average_precision"] == 0.25
        assert found["best_f1"] == pytest.approx(0.4)
        assert found["best_f1_threshold"] == 7

    def test_leaves_out_what_is_beyond_the_field_of_view(self):
        truth, values = np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.0, 1.0])
        assert ranking.roc_auc(truth, values) == 0.25
        assert ranking.roc_auc(truth, values, mask=[1, 1, 0, 0]) == 1

    def test_does_not_change_if_values_are_stretched(self):
        truth, values = _pixels(3)
        stretched = ranking.evaluate(truth, np.exp(values))
        same = ranking.evaluate(truth, values)
        for name in ("roc_auc", "average_precision", "pr_auc", "best_f1"):
            assert stretched[name] == same[name]

    @pytest.mark.parametrize("truth", [[0, 0], [1, 1]])
    def test_of_one_kind_of_pixels_has_no_roc(self, truth):
        assert math.isnan(ranking.roc_auc(truth, [0.1, 0.9]))

    def test_without_positives_is_undefined(self):
        assert all(map(math.isnan, ranking.evaluate([0, 0], [1, 2]).values()))

    def test_counts_the_kinds(self):
        ranks = ranking.Ranking.of([1, 0, 0], [1, 2, 3])
        assert (ranks.positives, ranks.negatives) == (1, 2)


@pytest.mark.parametrize(
    ("truth", "prediction", "mask", "text"),
    [
        ([1, 0], [1, 0, 0], None, r"\(2,\).*\(3,\).*one shape for all"),
        ([1, 0], [1, 0], [1], r"mask of shape \(1,\)"),
        ([1, 0], [1, 0], [0, 0], "with 0 pixels"),
        ([1, 0], [1, math.nan], None, "NaN"),
    ],
)
def test_refuses_what_cannot_be_ranked(truth, prediction, mask, text):
    with pytest.raises(DataError, match=text):
        ranking.evaluate(truth, prediction, mask=mask)


def test_single_functions_give_what_evaluate_gives():
    truth, values = _pixels(1)
    found = ranking.evaluate(truth, values)
    for name in ("roc_auc", "average_precision", "pr_auc"):
        assert getattr(ranking, name)(truth, values) == found[name]
    assert ranking.best_f1(truth, values) == (
        found["best_f1"],
        found["best_f1_threshold"],
    )
