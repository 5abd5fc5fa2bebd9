"""The greedy tracker of the 2015 release.

Objects of neighbouring frames are linked by intersection over union (IoU), one to
one; any common pixel is enough. There is no closing of gaps and no division: a track
names another one as its parent when the object was outside the field of interest in
between. The rules are those of the release's ``trackCells2``, which was the entry to
the ISBI Cell Tracking Challenge 2015.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet_tracking.challenge import LARGEST_LABEL, Track
from pyunet_tracking.objects import (
    IntArray,
    find_objects,
    overlaps,
    seen_objects,
)


class GreedyTracker:
    """Takes the frames of a sequence one after the other and names their objects.

    Parameters
    ----------
    min_area_px : int, default 0
        Only objects with strictly more pixels count; 0: all.
    foi_border_px : int, default 0
        Width of the border around the field of interest. Objects that do not touch
        the field are followed, but are in no mask and in no track.
    fill_holes : bool, default False
        Fill the holes of the objects first.

    Attributes
    ----------
    tracks : list of Track
        What was seen so far, in the order of the labels.

    Examples
    --------
    An object moves; a second one enters:

    >>> tracker = GreedyTracker()
    >>> tracker.update(np.array([[0, 0, 1, 1]])).tolist()
    [[0, 0, 1, 1]]
    >>> tracker.update(np.array([[1, 0, 0, 1]])).tolist()
    [[2, 0, 0, 1]]
    >>> tracker.tracks
    [Track(label=1, begin=0, end=1, parent=0), Track(label=2, begin=1, end=1, parent=0)]
    """

    def __init__(
        self,
        *,
        min_area_px: int = 0,
        foi_border_px: int = 0,
        fill_holes: bool = False,
    ) -> None:
        for name, value in (
            ("min_area_px", min_area_px),
            ("foi_border_px", foi_border_px),
        ):
            if value < 0:
                raise DataError(f"{name} {value}: expected 0 or more pixels")
        self.min_area_px = min_area_px
        self.foi_border_px = foi_border_px
        self.fill_holes = fill_holes
        self._frame = 0
        self._labels = 0
        self._previous: IntArray | None = None
        self._tracks: dict[int, Track] = {}

    @property
    def tracks(self) -> list[Track]:
        """What was seen so far, in the order of the labels."""
        return [self._tracks[label] for label in sorted(self._tracks)]

    def update(self, foreground: NDArray[Any]) -> NDArray[np.uint16]:
        """Take the next frame.

        Parameters
        ----------
        foreground : ndarray, shape ([Z,] Y, X)
            What is above 0 is foreground.

        Returns
        -------
        ndarray of uint16, same shape
            The objects that touch the field of interest, by the labels of their
            tracks.

        Raises
        ------
        DataError
            A frame of another shape than the first one; more than 65535 labels, which
            the challenge's masks cannot hold.
        """
        objects = find_objects(
            foreground, min_area_px=self.min_area_px, fill_holes=self.fill_holes
        )
        previous = np.zeros_like(objects) if self._previous is None else self._previous
        if objects.shape != previous.shape:
            raise DataError(
                f"frame {self._frame} has shape {objects.shape}, the frames before it "
                f"have {previous.shape}"
            )
        names = _inherit(previous, objects)
        fresh = np.flatnonzero(names == 0)[1:]
        names[fresh] = self._labels + 1 + np.arange(len(fresh))
        seen = seen_objects(objects, border_px=self.foi_border_px)
        added = len(fresh)
        for number in np.flatnonzero(seen):
            label, parent = int(names[number]), 0
            track = self._tracks.get(label)
            if track is not None and track.end < self._frame - 1:
                added += 1
                label, parent, track = self._labels + added, label, None
                names[number] = label
            begin = self._frame if track is None else track.begin
            parent = parent if track is None else track.parent
            self._tracks[label] = Track(label, begin, self._frame, parent)
        self._labels += added
        if self._labels > LARGEST_LABEL:
            raise DataError(
                f"frame {self._frame}: {self._labels} labels; masks of the challenge "
                f"hold {LARGEST_LABEL}: leave out small objects"
            )
        self._frame += 1
        self._previous = names[objects]
        return np.where(seen, names, 0).astype(np.uint16)[objects]


def track_frames(
    frames: Iterable[NDArray[Any]], tracker: GreedyTracker
) -> Iterator[NDArray[np.uint16]]:
    """Give the mask of every frame; the tracks are ``tracker.tracks`` afterwards.

    Parameters
    ----------
    frames : iterable of ndarray, each of shape ([Z,] Y, X)
        What is above 0 is foreground.
    tracker : GreedyTracker

    Yields
    ------
    ndarray of uint16, same shape
    """
    for frame in frames:
        yield tracker.update(frame)


def _inherit(previous: IntArray, objects: IntArray) -> IntArray:
    """Give for every object the label that it takes over; 0 where there is none.

    Each earlier object keeps the object with the largest IoU, the first one of equals;
    then each object takes over the best of those that kept it, the first one of equals.
    """
    names = np.zeros(int(objects.max(initial=0)) + 1, np.int32)
    before, after, common = overlaps(previous, objects)
    if not len(common):
        return names
    united = np.bincount(previous.ravel())[before] - common
    united += np.bincount(objects.ravel())[after]
    iou = common / united
    kept = _best(before, iou, after)
    before, after, iou = before[kept], after[kept], iou[kept]
    taken = _best(after, iou, before)
    names[after[taken]] = before[taken]
    return names


def _best(
    groups: NDArray[np.int64], values: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Give the place of the largest value of every group, the first one of equals."""
    places = np.lexsort((order, -values, groups))
    ordered = groups[places]
    starts = np.ones(len(places), bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    best: NDArray[np.intp] = places[starts]
    return best
