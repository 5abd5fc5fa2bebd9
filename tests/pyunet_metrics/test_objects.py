import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, directed_hausdorff

from pyunet.errors import DataError
from pyunet_metrics import objects

EMPTY = np.zeros((4, 4), int)


def _images(seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 6, (2, 4, 5))
    return [np.kron(block, np.ones((2, 2), int)) for block in blocks]


def _sets(image):
    return {i: {*map(tuple, np.argwhere(image == i))} for i in np.unique(image) if i}


def _dice(one, other):
    return 2 * len(one & other) / (len(one) + len(other))


def _hausdorff(one, other):
    pairs = cdist(list(one), list(other))
    return max(pairs.min(axis=0).max(), pairs.min(axis=1).max())


def _glas(ours, others, score, alone):
    """The challenge's mean over one side, weighted by area."""
    total = sum(map(len, ours.values()))
    result = 0.0
    for one in ours.values():
        best = max(others.values(), key=lambda other: len(one & other), default=set())
        value = score(one, best) if one & best else alone(one)
        result += value * len(one) / total
    return result


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_glas_scores_follow_their_definition(seed):
    images = _images(seed)
    truth, found = map(_sets, images)
    if not truth or not found:
        return
    there = _glas(truth, found, _dice, lambda _: 0.0)
    back = _glas(found, truth, _dice, lambda _: 0.0)
    assert objects.object_dice(*images) == pytest.approx((there + back) / 2)
    there, back = (
        _glas(
            ours,
            others,
            _hausdorff,
            lambda one, others=others: min(_hausdorff(one, o) for o in others.values()),
        )
        for ours, others in ((truth, found), (found, truth))
    )
    assert objects.object_hausdorff(*images) == pytest.approx((there + back) / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_aji_and_pq_follow_their_definition(seed):
    images = _images(seed)
    truth, found = map(_sets, images)
    if not truth or not found:
        return
    shared = union = 0
    used = set()
    ious = []
    for one in truth.values():
        iou = {j: len(one & o) / len(one | o) for j, o in found.items()}
        ious += [value for value in iou.values() if value > 0.5]
        best = max(iou, key=lambda j: (iou[j], -j))
        if iou[best]:
            shared, union = (
                shared + len(one & found[best]),
                union + len(one | found[best]),
            )
            used.add(best)
        else:
            union += len(one)
    union += sum(len(other) for j, other in found.items() if j not in used)
    assert objects.aji(*images) == pytest.approx(shared / union)
    quality = objects.panoptic_quality(*images)
    wrong = (len(truth) + len(found)) / 2 - len(ious)
    assert quality.pq == pytest.approx(sum(ious) / (len(ious) + wrong))
    assert quality.rq == objects.f1(*images)
    assert quality.sq == pytest.approx(np.mean(ious) if ious else 0)


class TestObjectHausdorff:
    def test_is_that_of_scipy_for_one_object_each(self):
        truth, found = np.zeros((2, 9, 9), int)
        truth[1:4, 1:3], found[2:7, 4:8] = 1, 1
        points = np.argwhere(truth) * (1, 0.5), np.argwhere(found) * (1, 0.5)
        expected = max(
            directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]
        )
        got = objects.object_hausdorff(truth, found, element_size=(1, 0.5))
        assert got == pytest.approx(expected)

    def test_of_no_objects_is_0_and_of_one_side_infinite(self):
        assert objects.object_hausdorff(EMPTY, EMPTY) == 0
        assert objects.object_hausdorff(EMPTY + 1, EMPTY) == math.inf
        assert objects.object_hausdorff(EMPTY, EMPTY + 1) == math.inf


class TestF1:
    def test_needs_more_than_half(self):
        # IoU 1/2 and 2/3
        assert objects.f1([1, 1], [1, 0]) == 0
        assert objects.f1([1, 1, 1], [1, 1, 0]) == 1
        assert objects.f1([1, 1, 1], [1, 1, 0], iou=0.7) == 0

    @pytest.mark.parametrize("threshold", [0.4, 1.0])
    def test_refuses_thresholds_where_matches_are_not_unique(self, threshold):
        with pytest.raises(DataError, match=r"expected 0\.5 or more, and below 1"):
            objects.f1([1], [1], iou=threshold)

    def test_of_glas_takes_half_of_the_truth_and_finds_it_once(self):
        # both halves cover half of it: one is right, the other wrong
        assert objects.f1_glas([1, 1, 1, 1], [1, 1, 2, 2]) == pytest.approx(2 / 3)
        assert objects.f1_glas([1, 1, 1, 1], [1, 0, 0, 0]) == 0


class TestEmptyImages:
    @pytest.mark.parametrize("name", ["object_dice", "f1", "f1_glas", "aji"])
    def test_have_no_score_without_any_object_and_0_with_one_side_only(self, name):
        score = getattr(objects, name)
        assert math.isnan(score(EMPTY, EMPTY))
        assert score(EMPTY, EMPTY + 1) == score(EMPTY + 1, EMPTY) == 0

    def test_have_no_panoptic_quality(self):
        assert math.isnan(objects.panoptic_quality(EMPTY, EMPTY).pq)
        assert objects.panoptic_quality(EMPTY, EMPTY + 1) == objects.Panoptic(0, 0, 0)


class TestEvaluate:
    def test_keeps_objects_of_different_images_apart(self):
        truth = np.array([[[1, 1, 0]], [[1, 0, 0]]])
        found = np.array([[[1, 1, 0]], [[0, 0, 1]]])
        scores = objects.evaluate(truth, found)
        assert scores["per_image"]["aji"] == [1, 0]
        assert scores["pooled"]["aji"] == 0.5
        assert scores["pooled"]["f1"] == 0.5
        assert scores["per_image"]["object_hausdorff"] == [0, 2]
        assert scores["pooled"]["object_hausdorff"] == 1

    def test_refuses_a_single_row(self):
        with pytest.raises(DataError, match="same shape"):
            objects.evaluate([1], [1])


class TestRegions:
    def test_do_not_go_on_in_the_next_slice_unless_it_is_a_volume(self):
        classes = np.array([[[1, 0, 2]], [[1, 0, 2]]])
        assert np.unique(objects.regions(classes)).tolist() == [0, 1, 2, 3, 4]
        assert np.unique(objects.regions(classes, volume=True)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (([1, 2], [1, 2, 3]), "same shape"),
        (([1, -2], [1, 2]), "truth has int64 values down to -2"),
        (([1, 2], [0.5, 1]), "prediction has float64 values"),
    ],
)
def test_refuses_what_are_no_object_numbers(pair, text):
    with pytest.raises(DataError, match=text):
        objects.aji(*pair)
