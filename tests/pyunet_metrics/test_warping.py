import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pyunet.errors import DataError
from pyunet_metrics import isbi2012, warping
from tests.support.stored import load_arrays

REFERENCE = Path(__file__).parents[1] / "reference" / "metrics"
EXPECTED = json.loads((REFERENCE / "expected.json").read_text())["cases"]
WARPED = load_arrays(REFERENCE / "_warped_at_0.5.npz")
KINDS = load_arrays(REFERENCE / "_mismatch_kind_at_0.5.npz")
NAMES = sorted(set(WARPED) & set(EXPECTED))
RING = [(0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]


def _load(name):
    arrays = load_arrays(REFERENCE / f"{name}.npz")
    return arrays["labels"], arrays["proposal"]


def _warp_pixel_by_pixel(truth, found, distance):
    """The definition: every pixel that differs is visited in every pass."""
    bent = np.pad(truth, 1)
    order = sorted(
        np.argwhere(truth != found).tolist(),
        key=lambda at: (-distance[tuple(at)], at[1], at[0]),
    )
    simple, flipped = warping.simple_codes(), True
    while flipped:
        flipped = False
        for y, x in order:
            patch = bent[y : y + 3, x : x + 3]
            code = sum(int(patch[at]) << i for i, at in enumerate(RING))
            if patch[1, 1] != found[y, x] and simple[code]:
                bent[y + 1, x + 1] = found[y, x]
                flipped = True
    return bent[1:-1, 1:-1]


class TestSimpleCodes:
    def test_are_those_with_one_part_inside_at_a_side_and_one_outside(self):
        for code in range(256):
            patch = np.zeros((3, 3), bool)
            for bit, at in enumerate(RING):
                patch[at] = code >> bit & 1
            inside, _ = ndimage.label(patch)
            rest = ~patch
            rest[1, 1] = False
            _, outside = ndimage.label(rest, np.ones((3, 3)))
            touching = {inside[at] for at in RING[::2]} - {0}
            assert warping.simple_codes()[code] == (len(touching) == outside == 1)


class TestWarp:
    @pytest.mark.parametrize("name", NAMES)
    def test_gives_the_masks_of_the_official_program(self, name):
        labels, proposal = _load(name)
        values = proposal.astype(np.float32).astype(np.float64)
        found = values > 0.5
        distance = np.abs(values - 0.5).astype(np.float32)
        order = warping.turns((labels > 0) != found, distance)
        bent = warping.warp(labels > 0, order)
        np.testing.assert_array_equal(bent, WARPED[name] > 0)

    @pytest.mark.parametrize("seed", range(8))
    def test_equals_visits_of_every_pixel_in_every_pass(self, seed):
        rng = np.random.default_rng(seed)
        smooth = ndimage.gaussian_filter(rng.normal(size=(2, 23, 31)), (0, 2, 2))
        truth, found = smooth > 0
        distance = np.round(rng.random(truth.shape), 1).astype(np.float32)
        bent = warping.warp(truth, warping.turns(truth != found, distance))
        expected = _warp_pixel_by_pixel(truth, found, distance)
        np.testing.assert_array_equal(bent, expected)

    def test_changes_nothing_where_nothing_differs(self):
        truth = np.eye(3, dtype=bool)
        nothing = np.zeros(0, int)
        np.testing.assert_array_equal(warping.warp(truth, nothing), truth)


class TestMismatches:
    @pytest.mark.parametrize("name", NAMES)
    def test_have_the_kinds_of_the_official_program(self, name):
        _, proposal = _load(name)
        kinds = warping.mismatches(WARPED[name] > 0, proposal > np.float32(0.5))
        np.testing.assert_array_equal(kinds, KINDS[name])

    @pytest.mark.parametrize(
        ("bent", "found", "kind"),
        [
            ([[0, 0, 0]], [[0, 1, 0]], warping.OBJECT_ADDITION),
            ([[0, 1, 0]], [[0, 0, 0]], warping.OBJECT_DELETION),
            ([[1, 1, 1]] * 3, [[1, 1, 1], [1, 0, 1], [1, 1, 1]], warping.HOLE_ADDITION),
            ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], [[1, 1, 1]] * 3, warping.HOLE_DELETION),
            ([[1, 0, 1]] * 3, [[1, 0, 1], [1, 1, 1], [1, 0, 1]], warping.MERGE),
        ],
    )
    def test_of_small_masks(self, bent, found, kind):
        kinds = warping.mismatches(np.array(bent, bool), np.array(found, bool))
        assert np.unique(kinds[kinds > 0]).tolist() == [kind]

    def test_a_pixel_splits_only_if_its_parts_do_not_meet_within_the_radius(self):
        ring = np.ones((7, 9), bool)
        ring[1:6, 1:8] = False  # a loop: cut at one place it still hangs together
        cut = ring.copy()
        cut[6, 4] = False
        kind = {
            radius: warping.mismatches(ring, cut, radius=radius)[6, 4]
            for radius in (0, 3, 7)
        }
        assert kind == {
            0: warping.HOLE_DELETION,
            3: warping.SPLIT,
            7: warping.HOLE_DELETION,
        }

    def test_see_no_object_through_an_empty_or_too_wide_display_range(self):
        bent, found = np.array([[1, 0, 1]] * 3, bool), np.ones((3, 3), bool)
        for shown in ((1, 1), (0, 511)):
            kinds = warping.mismatches(bent, found, shown=shown)
            assert set(kinds[:, 1].tolist()) == {warping.OBJECT_ADDITION}
        kinds = warping.mismatches(bent, found, shown=(0, 510))
        assert set(kinds[:, 1].tolist()) == {warping.MERGE}


class TestCounts:
    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_are_those_of_the_official_program(self, name):
        counted = warping.counts(*_load(name))
        merges_and_splits = np.array(EXPECTED[name]["warping"])[..., :2].sum(axis=-1)
        np.testing.assert_array_equal(counted[..., 0], merges_and_splits)
        np.testing.assert_array_equal(
            counted[..., 1], EXPECTED[name]["warping_clustered"]
        )

    def test_refuse_shapes_that_differ(self):
        with pytest.raises(DataError, match=r"\(2, 2\).*\(2, 3\)"):
            warping.counts(np.ones((2, 2)), np.ones((2, 3)))


class TestWarpingError:
    def test_is_the_least_of_all_thresholds(self):
        truth = np.array([[1, 0, 1]] * 3)
        found = np.where([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 0.55, truth)
        assert isbi2012.warping_error(truth, found) == 0

    def test_counts_touching_pixels_once_on_request(self):
        # a membrane of one pixel is missed along 3 of 5 pixels
        truth = np.array([[1, 0, 1]] * 5)
        found = truth.copy()
        found[1:4] = 1
        assert isbi2012.warping_error(truth, found) == 3 / 15
        assert isbi2012.warping_error(truth, found, clustered=True) == 1 / 15
