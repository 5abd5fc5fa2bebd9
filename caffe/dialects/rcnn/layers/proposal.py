"""Regions proposed by a region proposal network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import floor, sqrt
from typing import Any

import torch
from torch.nn import functional

from caffe.dialects.rcnn.boxes import overlaps, quicksorted
from caffe.engine.boxes import suppressed
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError


@register("Proposal")
class ProposalLayer(Operator):
    """Regions of an image from scores and offsets of anchors (PVANet's C++ layer).

    Options (``proposal_param``)
        ratio, scale : repeated float. Shapes of the anchors, height by width, and their
            sizes; there are A, one for each pair. There is no default.
        base_size : int, default 16. Side of a square anchor of scale 1.
        feat_stride : int, default 16. Pixels of the image by those of the bottoms.
        min_size : int, default 16. A box whose side is below this, times the scale of
            the image, scores 0.
        pre_nms_topn, post_nms_topn : int, default 6000 and 300. Boxes that are compared
            and boxes that are kept, at most.
        nms_thresh : float, default 0.7. A box that overlaps a better one more is
            dropped.

    Bottoms
        0 : (1, 2 A, Y, X), probabilities of background, then of foreground.
        1 : (1, 4 A, Y, X), offsets dx, dy, log of width, log of height of each anchor.
        2 : (1, 4 or more), height and width of the image, its scales along y and x.

    Tops
        0 : (R, 5), regions: 0 for the image, x1, y1, x2, y2; the best first. R is
            known after a forward only.
        1 : optional, (R,), their scores.

    There is no gradient. Of equal scores, as those of small boxes are, that box comes
    first that the fork's quicksort puts there.
    """

    bottoms = (3, 3)
    tops = (1, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Make the anchors."""
        options = param.proposal_param
        if not options.ratio or not options.scale:
            raise CheckError("no ratio or no scale is given: there are no anchors")
        if not min(options.ratio) > 0:
            raise CheckError(f"ratio is {min(options.ratio):g}: expected above 0")
        self._options = options
        self._anchors = torch.tensor(
            [
                _anchor(options.base_size, ratio, scale)
                for ratio, scale in product(options.ratio, options.scale)
            ]
        )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """As many regions as there may be."""
        scores, offsets, image = bottom_shapes
        anchors = len(self._anchors)
        for i, (name, shape, each) in enumerate(
            (("probabilities", scores, 2), ("offsets", offsets, 4))
        ):
            if len(shape) != 4 or shape[:2] != (1, each * anchors):
                raise CheckError(
                    f"bottom {i} ({name}) is {text(shape)}: expected "
                    f"(1,{each * anchors},Y,X), {each} channels for each of {anchors} "
                    "anchors"
                )
        if scores[2:] != offsets[2:]:
            raise CheckError(
                f"bottom 0 is {text(scores)}, bottom 1 {text(offsets)}: expected the "
                "same height and width"
            )
        if len(image) < 2 or image[0] != 1 or image[1] < 4:
            raise CheckError(
                f"bottom 2 (image) is {text(image)}: expected (1,4), its height, width "
                "and scales"
            )
        most = self._options.post_nms_topn
        return [(most, 5), (most,)][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Move the anchors, sort them, drop what overlaps."""
        options = self._options
        scores, offsets, image = (bottom.detach().float() for bottom in bottoms)
        anchors = len(self._anchors)
        boxes = _moved(self._placed(scores), _by_anchor(offsets, anchors, 4))
        height, width, scale_y, scale_x = image.flatten()[:4].unbind()
        limits = torch.stack([width, height, width, height]) - 1
        boxes = boxes.clamp(min=0).minimum(limits)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        least = options.min_size * torch.stack([scale_x, scale_y])
        best = _by_anchor(scores[:, anchors:], anchors, 1)[:, 0]
        best = best.where((sides >= least).all(1), 0)
        places = quicksorted(best.cpu().numpy(), options.pre_nms_topn)
        order = torch.from_numpy(places[: options.pre_nms_topn]).to(best.device)
        kept = suppressed(
            boxes[order],
            options.nms_thresh,
            most=options.post_nms_topn,
            shared=overlaps,
        )
        order = order[kept]
        regions = functional.pad(boxes[order], (1, 0))
        return [regions, best[order]][: len(self.param.top)]

    def _placed(self, scores: torch.Tensor) -> torch.Tensor:
        """All anchors at all places, row by row, (Y X A, 4)."""
        down, right = (
            torch.arange(n, device=scores.device) * self._options.feat_stride
            for n in scores.shape[2:]
        )
        y, x = torch.meshgrid(down, right, indexing="ij")
        places = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        return (places + self._anchors.to(scores.device)).reshape(-1, 4)


def _anchor(base: int, ratio: float, scale: float) -> list[float]:
    """Corners of an anchor at the first place."""
    middle = 0.5 * (base - 1)
    width = floor(sqrt(base * base / ratio) + 0.5)
    height = floor(width * ratio + 0.5)
    x, y = (0.5 * (side * scale - 1) for side in (width, height))
    return [middle - x, middle - y, middle + x, middle + y]


def _by_anchor(values: torch.Tensor, anchors: int, each: int) -> torch.Tensor:
    """Channels (1, A each, Y, X) as rows (Y X A, each)."""
    parts = values.reshape(anchors, each, -1)
    return parts.permute(2, 0, 1).reshape(-1, each)


def _moved(anchors: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Boxes that lie by the offsets from the anchors."""
    sides = anchors[:, 2:] - anchors[:, :2] + 1
    centres = anchors[:, :2] + 0.5 * sides + offsets[:, :2] * sides
    half = 0.5 * sides * offsets[:, 2:].exp()
    return torch.cat([centres - half, centres + half], 1)
