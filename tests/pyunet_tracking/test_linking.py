"""Linking by laptrack: the challenge's form, divisions and gaps."""

import sys

import numpy as np
import pytest
import scipy

from pyunet.errors import DataError
from pyunet_tracking.linking import import_laptrack, link_frames

# laptrack excludes scipy 1.15, in which its solver fails.
needs_laptrack = pytest.mark.skipif(
    scipy.__version__.startswith("1.15."), reason="laptrack wants another scipy"
)


@pytest.fixture
def laptrack():
    pytest.importorskip("laptrack")


def line(*objects, width=20):
    frame = np.zeros((1, width), int)
    for begin, end in objects:
        frame[0, begin:end] = 1
    return frame


def link(*frames, **options):
    masks, tracks = link_frames(frames, **options)
    return masks, [tuple(track) for track in tracks]


@needs_laptrack
@pytest.mark.usefixtures("laptrack")
class TestLinks:
    def test_objects_keep_their_labels(self):
        masks, tracks = link(
            line((0, 5), (10, 15)), line((1, 6), (11, 16)), line((2, 7), (12, 17))
        )
        assert tracks == [(1, 0, 2, 0), (2, 0, 2, 0)]
        assert masks[2][0, 3] == 1
        assert masks[2].dtype == np.uint16

    def test_a_gap_is_closed_by_a_parent(self):
        _, tracks = link(line((0, 5), (10, 15)), line((0, 5)), line((0, 5), (10, 15)))
        assert tracks == [(1, 0, 2, 0), (2, 0, 0, 0), (3, 2, 2, 2)]

    def test_a_division_names_the_parent_of_both(self):
        whole, parts = line((0, 9)), line((0, 4), (5, 9))
        _, tracks = link(whole, whole, parts, parts)
        assert tracks[0] == (1, 0, 1, 0)
        assert sorted(tracks[1:]) == [(2, 2, 3, 1), (3, 2, 3, 1)]

    def test_small_objects_and_those_outside_are_left_out(self):
        frames = [line((0, 2), (8, 12))] * 2
        _, tracks = link(*frames, min_area_px=2)
        assert tracks == [(1, 0, 1, 0)]
        tall = [np.repeat(frame, 9, axis=0) for frame in frames]
        masks, tracks = link(*tall, foi_border_px=4)
        assert tracks == [(1, 0, 1, 0)]
        assert not masks[0][:, :2].any()


def test_without_an_object_there_is_nothing_to_link():
    masks, tracks = link(line(), line())
    assert tracks == []
    assert [mask.any() for mask in masks] == [False, False]


def test_without_laptrack_the_way_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "laptrack", None)
    with pytest.raises(DataError, match=r"pip install pyunet\[metrics\]"):
        import_laptrack()
