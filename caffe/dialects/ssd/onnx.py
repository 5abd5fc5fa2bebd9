"""Detections in the words of ONNX: NonMaxSuppression, and what stands around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe.engine.onnx.graph import VALUES, Value, no_counterpart
from caffe.engine.onnx.layer import Layer

_LOWEST = float(np.finfo(np.float32).min)
_CLASSES, _PLACES = 1, 2  # axes of scores and boxes: images, classes, places


@dataclass(frozen=True)
class _Found:
    """Detections of all images, by image, class and falling score: one name each."""

    image: str
    label: str
    score: str
    box: str


def detections(layer: Layer, options: Any, code: str, least: float) -> Value:
    """Write DetectionOutput; where nothing is found the top has no rows.

    Parameters
    ----------
    options : DetectionOutputParameter
    code : str
        Name of the way in which offsets tell a box.
    least : float
        Scores above it count.
    """
    if options.nms_param.eta < 1:
        raise no_counterpart("its threshold of overlap changes (nms_param.eta)")
    if options.keep_top_k == 0:
        raise no_counterpart("keep_top_k is 0")
    found = _suppressed(layer, options, _decoded(layer, options, code), code, least)
    if options.keep_top_k > 0:
        found = _best(layer, found, int(options.keep_top_k))
    columns = [
        layer.unsqueezed(name, [1])
        for name in (layer.to_float(found.image), layer.to_float(found.label))
    ]
    columns.append(layer.unsqueezed(found.score, [1]))
    rows = layer.add("Concat", *columns, found.box, axis=1)
    return layer.top(layer.unsqueezed(rows, [0, 1]), (None, None, VALUES, None))


def _decoded(layer: Layer, options: Any, code: str) -> str:
    """Boxes (N, L, P, 4), L of them for each prior."""
    offsets, _, prior = layer.bottoms[:3]
    prior.fixed()
    count = prior.shape[2] // 4
    each = 1 if options.share_location else int(options.num_classes)
    shifts = layer.reshaped(offsets, (0, count, each, 4))
    shifts = layer.add("Transpose", shifts, perm=[0, 2, 1, 3])
    rows = layer.reshaped(prior, (2, count, 4))
    places, variances = (
        layer.add("Gather", rows, layer.ints(i, "row"), axis=0) for i in range(2)
    )
    if not options.variance_encoded_in_target:
        shifts = layer.add("Mul", shifts, variances)
    boxes = _moved(layer, places, shifts, code)
    if options.clip:
        limits = layer.floats(0, "first"), layer.floats(1, "last")
        boxes = layer.add("Clip", boxes, *limits)
    return boxes


def _moved(layer: Layer, places: str, shifts: str, code: str) -> str:
    """Boxes from priors and offsets, both by left, top, right, bottom."""
    if code == "CORNER":
        return layer.add("Add", places, shifts)
    first = layer.sliced(places, [-1], [0], [2])
    last = layer.sliced(places, [-1], [2], [4])
    sizes = layer.add("Sub", last, first)
    if code == "CORNER_SIZE":
        both = layer.add("Concat", sizes, sizes, axis=-1)
        return layer.add("Add", places, layer.add("Mul", shifts, both))
    middle = layer.scaled(layer.add("Add", first, last), 0.5)
    shift = layer.add("Mul", layer.sliced(shifts, [-1], [0], [2]), sizes)
    middle = layer.add("Add", middle, shift)
    growth = layer.add("Exp", layer.sliced(shifts, [-1], [2], [4]))
    half = layer.scaled(layer.add("Mul", growth, sizes), 0.5)
    corners = (layer.add(kind, middle, half) for kind in ("Sub", "Add"))
    return layer.add("Concat", *corners, axis=-1)


def _suppressed(
    layer: Layer, options: Any, boxes: str, code: str, least: float
) -> _Found:
    """Take the best boxes of each class, and suppress."""
    labels = [c for c in range(options.num_classes) if c != options.background_label_id]
    count = layer.bottoms[2].shape[2] // 4
    most = int(options.nms_param.top_k) if options.nms_param.HasField("top_k") else -1
    most = min(most, count) if most > -1 else count
    wanted = layer.ints(labels, "labels")
    scores = layer.reshaped(layer.bottoms[1], (0, count, int(options.num_classes)))
    scores = layer.add("Transpose", scores, perm=[0, _PLACES, _CLASSES])
    scores = layer.add("Gather", scores, wanted, axis=_CLASSES)
    if options.share_location:
        shape = layer.ints([1, len(labels), 1, 1], "shape")
        boxes = layer.add("Expand", boxes, shape)
    else:
        boxes = layer.add("Gather", boxes, wanted, axis=_CLASSES)
    # NonMaxSuppression has no number of candidates: they are chosen before
    number = layer.ints([most], "top_k")
    scores, places = layer.add_many("TopK", 2, scores, number, axis=_PLACES)
    places = layer.add(
        "Expand", layer.unsqueezed(places, [3]), layer.ints([1, 1, 1, 4], "shape")
    )
    boxes = layer.add("GatherElements", boxes, places, axis=_PLACES)
    sound = layer.reshaped(boxes, (-1, most, 4))
    if code != "CENTER_SIZE":
        # ONNX would turn boxes round whose right is left of their left
        first = layer.sliced(sound, [-1], [0], [2])
        last = layer.add("Max", first, layer.sliced(sound, [-1], [2], [4]))
        sound = layer.add("Concat", first, last, axis=-1)
    chosen = layer.add(
        "NonMaxSuppression",
        sound,
        layer.reshaped(scores, (-1, 1, most)),
        number,
        layer.floats([options.nms_param.nms_threshold], "overlap"),
        layer.floats([least], "score"),
    )
    row, place = (
        layer.add("Gather", chosen, layer.ints(i, "column"), axis=1) for i in (0, 2)
    )
    flat = layer.add("Add", layer.add("Mul", row, number), place)
    classes = layer.ints(len(labels), "classes")
    image = layer.add("Div", row, classes)
    rest = layer.add("Sub", row, layer.add("Mul", image, classes))
    return _Found(
        image,
        layer.add("Gather", wanted, rest, axis=0),
        layer.add("Gather", layer.reshaped(scores, [-1]), flat, axis=0),
        layer.add("Gather", layer.reshaped(boxes, [-1, 4]), flat, axis=0),
    )


def _best(layer: Layer, found: _Found, count: int) -> _Found:
    """Keep so many detections of each image; their order stays."""
    images = layer.sizes(layer.bottoms[1], [0])
    zero, one = layer.ints(0, "zero"), layer.ints(1, "one")
    end = layer.reshaped(images, [])
    numbers = layer.unsqueezed(layer.add("Range", zero, end, one), [1])
    own = layer.add("Equal", layer.unsqueezed(found.image, [0]), numbers)
    lowest = layer.floats(_LOWEST, "lowest")
    scores = layer.add("Where", own, layer.unsqueezed(found.score, [0]), lowest)
    total = layer.add("Shape", found.score)
    number = layer.add("Min", layer.ints([count], "keep_top_k"), total)
    values, places = layer.add_many("TopK", 2, scores, number, axis=1)
    good = layer.add("Greater", layer.reshaped(values, [-1]), lowest)
    kept = layer.add("Compress", layer.reshaped(places, [-1]), good, axis=0)
    size = layer.add("Shape", kept)
    kept, _ = layer.add_many("TopK", 2, kept, size, axis=0, largest=0)
    return _Found(
        *(
            layer.add("Gather", name, kept, axis=0)
            for name in (found.image, found.label, found.score, found.box)
        )
    )
