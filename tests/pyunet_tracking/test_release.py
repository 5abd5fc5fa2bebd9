"""The greedy tracker on sequences made by hand, and beside its rules in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_tracking.objects import find_objects
from pyunet_tracking.release import GreedyTracker, track_frames


def follow(*frames, **options):
    tracker = GreedyTracker(**options)
    masks = list(track_frames([np.array(frame) for frame in frames], tracker))
    return masks, [tuple(track) for track in tracker.tracks]


def line(*objects, width=12):
    """A frame of one row with objects at begin:end."""
    frame = np.zeros((1, width), int)
    for begin, end in objects:
        frame[0, begin:end] = 1
    return frame


def box(y, x, *, size=3, shape=(20, 20)):
    frame = np.zeros(shape, int)
    frame[max(y, 0) : y + size, max(x, 0) : x + size] = 1
    return frame


def chosen_by_the_rules(previous, objects):
    """The label that each object takes over."""
    chosen = {}
    for label in sorted(previous):
        best, value = None, 0.0
        for j, pixels in enumerate(objects):
            iou = len(previous[label] & pixels) / len(previous[label] | pixels)
            if iou > value:
                best, value = j, iou
        if best is not None and value > chosen.get(best, (None, 0.0))[1]:
            chosen[best] = (label, value)
    return {j: label for j, (label, _) in chosen.items()}


def by_the_rules(frames, area, border):
    """The rules of the release, object by object and pixel by pixel."""
    previous, labels, tracks, masks = {}, 0, {}, []
    for time, frame in enumerate(frames):
        numbers = find_objects(frame, min_area_px=area)
        field = np.zeros(frame.shape, bool)
        field[border : 9 - border, border : 11 - border] = True
        count = numbers.max() + 1
        objects = [{tuple(p) for p in np.argwhere(numbers == n)} for n in range(count)]
        objects = objects[1:]
        chosen = chosen_by_the_rules(previous, objects)
        fresh = [j for j in range(len(objects)) if j not in chosen]
        names = {**chosen, **{j: labels + n for n, j in enumerate(fresh, 1)}}
        added = len(fresh)
        mask = np.zeros(frame.shape, int)
        for j, pixels in enumerate(objects):
            if not any(field[pixel] for pixel in pixels):
                continue
            known = tracks.get(names[j])
            if known and known[2] == time - 1:
                known[2] = time
            elif known:
                added += 1
                names[j] = labels + added
                tracks[names[j]] = [names[j], time, time, known[0]]
            else:
                tracks[names[j]] = [names[j], time, time, 0]
            mask[tuple(np.transpose(sorted(pixels)))] = names[j]
        labels += added
        previous = {names[j]: pixels for j, pixels in enumerate(objects)}
        masks.append(mask)
    return masks, [tuple(tracks[label]) for label in sorted(tracks)]


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 3))
def test_any_sequence_is_tracked_by_the_rules(seed, area, border):
    rng = np.random.default_rng(seed)
    frames = [rng.random((9, 11)) < rng.uniform(0, 0.5) for _ in range(5)]
    masks, tracks = follow(*frames, min_area_px=area, foi_border_px=border)
    expected_masks, expected_tracks = by_the_rules(frames, area, border)
    assert tracks == expected_tracks
    for mask, expected in zip(masks, expected_masks, strict=True):
        assert mask.dtype == np.uint16
        np.testing.assert_array_equal(mask, expected)


def test_an_object_keeps_its_label_while_it_moves():
    masks, tracks = follow(line((0, 3)), line((2, 5)), line((4, 7)))
    assert tracks == [(1, 0, 2, 0)]
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [
        [0, 1, 2], [2, 3, 4], [4, 5, 6],
    ]  # fmt: skip


def test_an_object_that_jumps_is_another_one():
    _, tracks = follow(line((0, 3)), line((3, 6)))
    assert tracks == [(1, 0, 0, 0), (2, 1, 1, 0)]


def test_an_object_that_enters_gets_the_next_label():
    masks, tracks = follow(line((6, 9)), line((0, 2), (6, 9)))
    assert masks[1].tolist() == [[2, 2, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]]
    assert tracks == [(1, 0, 1, 0), (2, 1, 1, 0)]


def test_a_track_ends_when_its_object_leaves():
    _, tracks = follow(line((0, 2), (6, 9)), line((6, 9)), line((6, 9)))
    assert tracks == [(1, 0, 0, 0), (2, 0, 2, 0)]


def test_no_gap_is_closed():
    _, tracks = follow(line((0, 2), (6, 9)), line((6, 9)), line((0, 2), (6, 9)))
    assert tracks == [(1, 0, 0, 0), (2, 0, 2, 0), (3, 2, 2, 0)]


def test_of_the_parts_of_an_object_the_best_overlap_keeps_the_label():
    masks, tracks = follow(line((0, 9)), line((0, 3), (4, 9)))
    assert masks[1].tolist() == [[2, 2, 2, 0, 1, 1, 1, 1, 1, 0, 0, 0]]
    assert tracks == [(1, 0, 1, 0), (2, 1, 1, 0)]


def test_of_two_equal_parts_the_first_one_keeps_the_label():
    masks, _ = follow(line((0, 9)), line((0, 4), (5, 9)))
    assert masks[1].tolist() == [[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0, 0]]


def test_merged_objects_go_on_under_the_label_with_the_best_overlap():
    masks, tracks = follow(line((0, 3), (4, 9)), line((0, 9)))
    assert set(masks[1].ravel().tolist()) == {0, 2}
    assert tracks == [(1, 0, 0, 0), (2, 0, 1, 0)]


def test_of_two_equal_objects_that_merge_the_first_one_goes_on():
    masks, _ = follow(line((0, 4), (5, 9)), line((0, 9)))
    assert set(masks[1].ravel().tolist()) == {0, 1}


def test_an_object_whose_best_is_taken_does_not_turn_to_its_second_best():
    # Both earlier objects overlap 2:12 most; the first one overlaps 0:1 as well.
    masks, tracks = follow(line((0, 6), (7, 12)), line((0, 1), (2, 12)))
    assert masks[1].tolist() == [[3, 0, *[2] * 10]]
    assert tracks == [(1, 0, 0, 0), (2, 0, 1, 0), (3, 1, 1, 0)]


def test_an_empty_frame_ends_all_tracks_and_no_label_comes_back():
    masks, tracks = follow(line((0, 3)), line(), line((0, 3)))
    assert not masks[1].any()
    assert tracks == [(1, 0, 0, 0), (2, 2, 2, 0)]


def test_a_sequence_may_begin_empty():
    _, tracks = follow(line(), line((0, 3)), line((0, 3)))
    assert tracks == [(1, 1, 2, 0)]


def test_no_foreground_at_all_gives_no_track():
    masks, tracks = follow(line(), line())
    assert tracks == []
    assert [mask.any() for mask in masks] == [False, False]


class TestFieldOfInterest:
    def test_an_object_outside_is_followed_but_not_written(self):
        frames = [box(8, x) for x in (0, 1, 2, 3)]
        masks, tracks = follow(*frames, foi_border_px=5)
        assert tracks == [(1, 3, 3, 0)]
        assert [bool(mask.any()) for mask in masks] == [False, False, False, True]

    def test_an_object_is_written_whole_when_one_pixel_is_inside(self):
        masks, _ = follow(box(8, 3), foi_border_px=5)
        assert masks[0].sum() == 9

    def test_one_that_comes_back_has_a_new_label_and_its_old_one_as_parent(self):
        frames = [box(8, x) for x in (4, 2, 1, 3, 4)]
        masks, tracks = follow(*frames, foi_border_px=5)
        assert tracks == [(1, 0, 0, 0), (2, 3, 4, 1)]
        assert [int(mask.max()) for mask in masks] == [1, 0, 0, 2, 2]

    def test_one_that_comes_back_twice_makes_a_chain(self):
        frames = [box(8, x) for x in (3, 2, 3, 2, 3)]
        _, tracks = follow(*frames, foi_border_px=5)
        assert tracks == [(1, 0, 0, 0), (2, 2, 2, 1), (3, 4, 4, 2)]

    def test_labels_outside_are_used_up(self):
        both = box(0, 0) + box(10, 10)
        masks, tracks = follow(both, foi_border_px=5)
        assert tracks == [(2, 0, 0, 0)]
        assert masks[0].max() == 2

    def test_new_objects_are_numbered_before_those_that_come_back(self):
        away, back = box(3, 15), box(3, 14)
        frames = [back, away, back + box(10, 10)]
        _, tracks = follow(*frames, foi_border_px=5)
        assert tracks == [(1, 0, 0, 0), (2, 2, 2, 0), (3, 2, 2, 1)]


def test_small_objects_do_not_count():
    frames = [line((0, 3), (5, 9)), line((0, 4), (5, 9))]
    masks, tracks = follow(*frames, min_area_px=3)
    assert tracks == [(1, 0, 1, 0), (2, 1, 1, 0)]
    assert masks[0].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]]


def test_filled_holes_count_as_area():
    ring = box(5, 5, size=5) - box(6, 6, size=3)
    _, without = follow(ring, min_area_px=20)
    masks, filled = follow(ring, min_area_px=20, fill_holes=True)
    assert (without, filled) == ([], [(1, 0, 0, 0)])
    assert masks[0].sum() == 25


def test_volumes_are_tracked_alike():
    volume = np.zeros((3, 6, 6), int)
    volume[0, 0, 0] = volume[1, 1, 1] = volume[2, 5, 5] = 1
    masks, tracks = follow(volume, volume)
    assert tracks == [(1, 0, 1, 0), (2, 0, 1, 0)]
    assert masks[1].shape == volume.shape


def test_values_above_0_are_foreground():
    masks, _ = follow(np.array([[3, -1, 0.5]]))
    assert masks[0].tolist() == [[1, 0, 2]]


def test_frames_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"frame 1 has shape \(1, 5\)"):
        follow(line(), line(width=5))


@pytest.mark.parametrize("name", ["min_area_px", "foi_border_px"])
def test_negative_options_are_refused(name):
    with pytest.raises(DataError, match=f"{name} -1: expected 0 or more"):
        GreedyTracker(**{name: -1})


def test_more_labels_than_masks_hold_are_refused():
    dots = np.zeros((400, 800), int)
    dots[::2, ::2] = 1
    with pytest.raises(
        DataError, match="frame 0: 80000 labels; masks of the challenge"
    ):
        GreedyTracker().update(dots)
