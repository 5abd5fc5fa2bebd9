"""Linking by linear assignment (LapTrack), in place of the release's greedy choice.

All objects of two frames are assigned at once, gaps of two frames are closed, and an
object may become two. The cost of a link is 1 - IoU; that of a division is the share
of the new object that does not lie on its parent. What comes out has the challenge's
form: a track has no gap, the one after a gap or a division names its parent.

Needs ``pip install pyunet[metrics]``. Y. T. Fukai, K. Kawaguchi: LapTrack.
Bioinformatics 39 (2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet_tracking.challenge import LARGEST_LABEL, Track
from pyunet_tracking.objects import IntArray, find_objects, overlaps, seen_objects

LINK_CUTOFF = 0.95
DIVISION_CUTOFF = 0.5
LARGEST_GAP = 2
Node = tuple[int, int]


def link_frames(
    frames: Iterable[NDArray[Any]],
    *,
    min_area_px: int = 0,
    foi_border_px: int = 0,
    fill_holes: bool = False,
) -> tuple[list[NDArray[np.uint16]], list[Track]]:
    """Name the objects of a sequence; all its masks are held in memory.

    Parameters
    ----------
    frames : iterable of ndarray, each of shape ([Z,] Y, X)
        What is above 0 is foreground.
    min_area_px, foi_border_px, fill_holes
        As in :class:`pyunet_tracking.release.GreedyTracker`.

    Returns
    -------
    masks : list of ndarray of uint16
    tracks : list of Track

    Raises
    ------
    DataError
        The package laptrack is not there; more than 65535 labels.
    """
    objects = [
        find_objects(frame, min_area_px=min_area_px, fill_holes=fill_holes)
        for frame in frames
    ]
    seen = [seen_objects(labels, border_px=foi_border_px) for labels in objects]
    chains, parents = _solve(objects)
    tracks: list[Track] = []
    names = [np.zeros(len(flags), np.uint16) for flags in seen]
    last: dict[int, int] = {}  # label of the last part of a chain, by its number
    for chain in sorted(chains, key=lambda chain: chains[chain][0]):
        parent = last[parents[chain]] if chain in parents else 0
        nodes = [node for node in chains[chain] if seen[node[0]][node[1]]]
        for part in _runs(nodes):
            label = len(tracks) + 1
            if label > LARGEST_LABEL:
                raise DataError(
                    f"more than {LARGEST_LABEL} labels, which masks of the challenge "
                    "cannot hold: leave out small objects"
                )
            tracks.append(Track(label, part[0][0], part[-1][0], parent))
            for frame, number in part:
                names[frame][number] = label
            parent = label
        last[chain] = parent
    masks = [name[labels] for name, labels in zip(names, objects, strict=True)]
    return masks, tracks


def _runs(nodes: Sequence[Node]) -> list[list[Node]]:
    """Cut a chain where a frame is missing."""
    runs: list[list[Node]] = []
    for node in nodes:
        if runs and runs[-1][-1][0] == node[0] - 1:
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _solve(
    objects: Sequence[IntArray],
) -> tuple[dict[int, list[Node]], dict[int, int]]:
    """Give chains of (frame, object) by number, and the parents of chains."""
    table = [
        (frame, number)
        for frame, labels in enumerate(objects)
        for number in range(1, int(labels.max(initial=0)) + 1)
    ]
    if not table:
        return {}, {}
    laptrack, pandas = import_laptrack()
    cost = _Cost(objects)
    solver = laptrack.LapTrack(
        metric=cost.link,
        cutoff=LINK_CUTOFF,
        gap_closing_metric=cost.link,
        gap_closing_cutoff=LINK_CUTOFF,
        gap_closing_max_frame_count=LARGEST_GAP,
        splitting_metric=cost.division,
        splitting_cutoff=DIVISION_CUTOFF,
    )
    points = pandas.DataFrame(table, columns=["frame", "number"])
    points["row"] = range(len(table))
    nodes, splits, _ = solver.predict_dataframe(
        points, ["frame", "number"], only_coordinate_cols=False
    )
    chains: dict[int, list[Node]] = {}
    for row, chain in sorted(zip(nodes["row"], nodes["track_id"], strict=True)):
        chains.setdefault(int(chain), []).append(table[row])
    parents = {
        int(row["child_track_id"]): int(row["parent_track_id"])
        for row in splits.to_dict("records")
    }
    return chains, parents


class _Cost:
    """Costs between points (frame, object), from common pixels."""

    def __init__(self, objects: Sequence[IntArray]) -> None:
        self._objects = objects
        self._areas = [np.bincount(labels.ravel()) for labels in objects]
        self._overlaps: dict[Node, dict[Node, int]] = {}

    def link(self, first: Sequence[float], second: Sequence[float]) -> float:
        """Give 1 - IoU."""
        (frame, number), (later, following) = self._ordered(first, second)
        common = self._common(frame, later).get((number, following), 0)
        areas = self._areas[frame][number] + self._areas[later][following]
        return 1 - common / float(areas - common)

    def division(self, first: Sequence[float], second: Sequence[float]) -> float:
        """Return the share of the later object outside the earlier one."""
        (frame, number), (later, following) = self._ordered(first, second)
        common = self._common(frame, later).get((number, following), 0)
        return 1 - common / float(self._areas[later][following])

    def _ordered(self, first: Sequence[float], second: Sequence[float]) -> list[Node]:
        return sorted((int(point[0]), int(point[1])) for point in (first, second))

    def _common(self, frame: int, later: int) -> dict[Node, int]:
        pair = (frame, later)
        if pair not in self._overlaps:
            counts = overlaps(self._objects[frame], self._objects[later])
            before, after, common = (column.tolist() for column in counts)
            self._overlaps[pair] = dict(
                zip(zip(before, after, strict=True), common, strict=True)
            )
        return self._overlaps[pair]


def import_laptrack() -> tuple[Any, Any]:
    """Import laptrack and the pandas that it stands on.

    Raises
    ------
    DataError
        They are not there.
    """
    try:
        import laptrack
        import pandas as pd
    except ImportError as error:
        raise DataError(
            f"linking by laptrack: {error}; pip install pyunet[metrics]"
        ) from error
    return laptrack, pd
