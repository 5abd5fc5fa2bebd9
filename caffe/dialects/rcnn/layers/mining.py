"""Which regions a net learns from."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import text
from caffe.errors import CheckError


@register("BoxAnnotatorOHEM")
class BoxAnnotatorOHEMLayer(Operator):
    """Keep the regions of each image that have the largest losses (R-FCN).

    Options (``box_annotator_ohem_param``)
        roi_per_img : int. So many regions of each image.
        ignore_label : int, default -1. The label of all others.

    Bottoms
        0 : (N, 5, ...), regions, the first channel the number of the image.
        1 : (N, 1, ...), their losses.
        2 : (N, 1, ...), their labels.
        3 : (N, C, ...), the weights of their boxes.

    Tops
        0, 1 : labels and weights, ``ignore_label`` and 0 where a region is not kept.

    Of equal losses the first region comes first; the fork leaves it open. There is no
    gradient.
    """

    bottoms = (4, 4)
    tops = (2, 2)
    differentiable_bottoms = ()

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of regions."""
        options = param.box_annotator_ohem_param
        self._kept, self._ignored = int(options.roi_per_img), int(options.ignore_label)
        if self._kept == 0:
            raise CheckError("roi_per_img is 0: expected a number above 0")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of labels and weights."""
        regions, *others = bottom_shapes
        if regions[1:2] != (5,):
            raise CheckError(
                f"bottom 0 (regions) is {text(regions)}: expected (N,5,...)"
            )
        positions = prod(regions) // 5
        for i, (name, shape) in enumerate(
            zip(("losses", "labels"), others, strict=False), 1
        ):
            if prod(shape) != positions:
                raise CheckError(
                    f"bottom {i} ({name}) is {text(shape)}, which is {prod(shape)} "
                    f"values: expected {positions}, one for each region"
                )
        weights = others[2]
        if (weights[:1], weights[2:]) != (regions[:1], regions[2:]):
            raise CheckError(
                f"bottom 3 (weights) is {text(weights)}: expected the shape of "
                f"bottom 0 {text(regions)} but for axis 1"
            )
        return [others[1], weights]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Rank the losses within each image."""
        regions, losses, labels, weights = (bottom.detach() for bottom in bottoms)
        images = regions[:, 0].flatten().long()
        order = losses.flatten().argsort(descending=True, stable=True)
        order = order[images[order].argsort(stable=True)]
        _, counts = images.unique(return_counts=True)
        places = torch.arange(len(order), device=order.device)
        places -= (counts.cumsum(0) - counts).repeat_interleave(counts)
        kept = torch.empty_like(order, dtype=torch.bool)
        kept[order] = places < self._kept
        shown = kept.view(len(regions), 1, *regions.shape[2:])
        return [
            labels.where(kept.view(labels.shape), self._ignored),
            weights.where(shown, 0),
        ]
