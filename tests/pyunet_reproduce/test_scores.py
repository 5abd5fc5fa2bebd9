"""Scores of stored predictions, beside scikit-learn and plain counting."""

import numpy as np
import pytest
from scipy import ndimage

from pyunet.errors import DataError
from pyunet_metrics import isbi2012, saliency
from pyunet_reproduce.predicting import FINEST
from pyunet_reproduce.readers import Example
from pyunet_reproduce.scores import Tally, View, mean_and_spread

metrics = pytest.importorskip("sklearn.metrics")
SHAPE = (30, 40)


def example(seed=0, classes=2, ignored=False):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(SHAPE), 3)
    truth = np.digitize(smooth, np.quantile(smooth, np.arange(1, classes) / classes))
    counts = np.ones(SHAPE, bool)
    if ignored:
        counts[:10] = False
    truth = np.where(counts, truth, classes).astype(np.uint8)
    none = np.zeros(SHAPE, np.int32)
    return Example(np.zeros((1, *SHAPE), np.float32), truth, none, counts)


def guess(one, seed=1):
    rng = np.random.default_rng(seed)
    share = np.clip(0.5 * (one.classes == 1) + 0.6 * rng.random(SHAPE), 0, 1)
    return np.rint(share * FINEST).astype(np.uint16)


def tally(names, pairs, classes=2):
    result = Tally(classes, set(names))
    for one, stored in pairs:
        result.add(View.of(one, stored))
    return result.result()


class TestRanking:
    @pytest.mark.slow
    def test_is_of_all_pixels_in_the_field_of_view(self):
        ones = [example(seed, ignored=True) for seed in (0, 1)]
        pairs = [(one, guess(one)) for one in ones]
        found = tally(
            ["ranking.roc_auc", "ranking.average_precision", "ranking.best_f1"], pairs
        )
        truth = np.concatenate([one.classes[one.counts] for one, _ in pairs])
        levels = np.concatenate([stored[one.counts] for one, stored in pairs])
        area = metrics.roc_auc_score(truth, levels)
        precision = metrics.average_precision_score(truth, levels)
        best = max(metrics.f1_score(truth, levels >= t) for t in np.unique(levels))
        assert found["ranking.roc_auc"] == pytest.approx(area, abs=1e-12)
        assert found["ranking.average_precision"] == pytest.approx(precision, abs=1e-12)
        assert found["ranking.best_f1"] == pytest.approx(best, abs=1e-12)


class TestOverlap:
    def test_of_two_classes_is_of_class_1_at_one_half(self):
        pairs = [(one, guess(one)) for one in (example(0, ignored=True), example(1))]
        names = ["dice", "iou", "precision", "recall", "accuracy"]
        found = tally(
            [f"overlap.{how}.{n}" for how in ("pooled", "per_image") for n in names],
            pairs,
        )
        functions = {
            "dice": metrics.f1_score, "iou": metrics.jaccard_score,
            "precision": metrics.precision_score, "recall": metrics.recall_score,
            "accuracy": metrics.accuracy_score,
        }  # fmt: skip
        flat = [
            (one.classes[one.counts], stored[one.counts] > FINEST / 2)
            for one, stored in pairs
        ]
        truth, found_pixels = (
            np.concatenate(arrays) for arrays in zip(*flat, strict=True)
        )
        for name, function in functions.items():
            pooled = function(truth, found_pixels)
            mean = np.mean([function(*one) for one in flat])
            assert found[f"overlap.pooled.{name}"] == pytest.approx(pooled)
            assert found[f"overlap.per_image.{name}"] == pytest.approx(mean)

    def test_of_more_classes_is_their_mean(self):
        one = example(classes=4, ignored=True)
        stored = np.where(one.counts, one.classes, 0).astype(np.uint8)
        stored[15:20] = 3
        found = tally(["overlap.mean_iou", "overlap.objects_iou"], [(one, stored)], 4)
        truth, guessed = one.classes[one.counts], stored[one.counts]
        each = metrics.jaccard_score(truth, guessed, average=None)
        assert found["overlap.mean_iou"] == pytest.approx(each.mean())
        assert found["overlap.objects_iou"] == pytest.approx(each[1:].mean())

    def test_of_an_image_with_nothing_in_it_is_left_out_of_the_mean(self):
        one = example()
        empty = Example(one.image, np.zeros(SHAPE, np.uint8), one.instances, one.counts)
        nothing = np.zeros(SHAPE, np.uint16)
        both = tally(["overlap.per_image.dice"], [(one, guess(one)), (empty, nothing)])
        alone = tally(["overlap.per_image.dice"], [(one, guess(one))])
        assert both == alone
        assert np.isnan(
            tally(["overlap.per_image.dice"], [(empty, nothing)])[
                "overlap.per_image.dice"
            ]
        )


class TestImages:
    def test_of_saliency_is_the_mean_over_them(self):
        pytest.importorskip("py_sod_metrics")
        pairs = [(one, guess(one)) for one in (example(0), example(1))]
        found = tally(["saliency.mae", "saliency.s_measure"], pairs)
        each = [
            saliency.evaluate(
                one.classes == 1, np.rint(stored / FINEST * 255).astype(np.uint8)
            )
            for one, stored in pairs
        ]
        for name in ("mae", "s_measure"):
            mean = np.mean([scores[name] for scores in each])
            assert found[f"saliency.{name}"] == pytest.approx(mean)

    def test_that_are_equal_to_the_truth_have_the_best_scores(self):
        one = example()
        stored = one.classes.astype(np.uint16) * FINEST
        names = [
            "objects.object_dice",
            "objects.object_hausdorff",
            "distance.hausdorff",
        ]
        assert list(tally(names, [(one, stored)]).values()) == [0, 1, 0]

    def test_of_a_stack_are_scored_together(self):
        pairs = [(one, guess(one)) for one in (example(0), example(1))]
        found = tally(["isbi2012.v_rand", "isbi2012.pixel_error"], pairs)
        truth = np.stack([one.classes for one, _ in pairs])
        maps = np.stack([stored / FINEST for _, stored in pairs])
        for name in ("v_rand", "pixel_error"):
            wanted = getattr(isbi2012, name)(truth, maps)
            assert found[f"isbi2012.{name}"] == pytest.approx(wanted)

    def test_of_a_stack_have_one_size(self):
        one = example()
        half = Example(one.image, one.classes[:20], one.instances[:20], one.counts[:20])
        with pytest.raises(DataError, match="images of 2 sizes"):
            tally(["isbi2012.v_rand"], [(one, guess(one)), (half, guess(one)[:20])])


def test_a_score_that_no_family_has_is_refused():
    one = example()
    with pytest.raises(
        DataError, match=r"score ranking\.auc; expected one of ranking\."
    ):
        tally(["ranking.auc"], [(one, guess(one))])


def test_one_value_has_no_spread():
    assert mean_and_spread([0.5]) == (0.5, 0.0)
