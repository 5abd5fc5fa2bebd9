"""SSD's layer that makes detections of offsets and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.dialects.ssd import onnx
from caffe.dialects.ssd.boxes import Code
from caffe.dialects.ssd.predictions import check_predictions
from caffe.engine.boxes import first_by_score, suppressed
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.errors import CheckError

_LEAST = torch.finfo(torch.float32).min
_AT_ONCE = 1024  # candidates of several classes that are compared at once
_FIRST = 4  # times as many candidates as boxes that are kept


@register("DetectionOutput")
class DetectionOutputLayer(Operator):
    """Boxes of each class that are left after non-maximum suppression.

    Options (``detection_output_param``)
        num_classes : int.
        share_location : bool, default true. One box a prior, for all classes.
        background_label_id : int, default 0. The class that is left out; -1: none.
        code_type, variance_encoded_in_target : how offsets tell a box, see
            `caffe.dialects.ssd.boxes.Code`.
        confidence_threshold : float. Only scores above it count; default: all.
        nms_param.nms_threshold : float, default 0.3. Boxes of a class with more
            overlap than this with a better one are dropped.
        nms_param.top_k : int. Best boxes of each class that count; default: all.
        nms_param.eta : float, default 1. Below 1 the threshold is multiplied by it
            after each box that stays, while it is above 0.5.
        keep_top_k : int, default -1. Boxes of an image that are left; -1: all.
        clip : bool, default false. Cut the boxes to the image first (OpenCV's).

    Bottoms
        0 : (N, 4 P L), offsets from the P priors, of L boxes each: one, or one for each
            class.
        1 : (N, P K), scores of the K classes, of each prior.
        2 : (1, 2, 4 P), priors and variances as PriorBox makes them.
        3 : optional, the images, for ``visualize``; not used here.

    Tops
        0 : (1, 1, D, 7): image, label, score, left, top, right, bottom of D detections,
            by image, label and falling score. Without any the top is (1, 1, N, 7), the
            number of the image and -1. Until the first forward D is taken to be 1.
    """

    bottoms = (3, 4)
    differentiable_bottoms = ()
    usual = True

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Only this form has three bottoms, or four."""
        return len(param.bottom) in (3, 4) if param.bottom else None

    def setup(self, param: Any, context: Context) -> None:
        """Read and check the options."""
        options = self.options = param.detection_output_param
        nms = options.nms_param
        if not options.num_classes:
            raise CheckError("num_classes is not given: expected 1 or more")
        if nms.nms_threshold < 0 or not 0 < nms.eta <= 1:
            raise CheckError(
                f"nms_threshold is {nms.nms_threshold:g}, eta {nms.eta:g}: expected 0 "
                "or more, and above 0 up to 1"
            )
        self.classes = int(options.num_classes)
        self.boxes_each = 1 if options.share_location else self.classes
        self.code = Code(options, bool(options.variance_encoded_in_target))
        self.most = int(nms.top_k) if nms.HasField("top_k") else -1
        self.least = _LEAST
        if options.HasField("confidence_threshold"):
            self.least = float(options.confidence_threshold)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """One detection, before the first forward."""
        check_predictions(bottom_shapes, self.boxes_each, self.classes)
        return [(1, 1, 1, 7)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Decode, suppress, and list image by image."""
        offsets, scores, priors = (x.detach().float() for x in bottoms[:3])
        images = len(offsets)
        places, variances = priors.reshape(2, -1, 1, 4)
        offsets = offsets.reshape(images, -1, self.boxes_each, 4)
        scores = scores.reshape(images, -1, self.classes)
        found = []
        for i in range(images):
            boxes = self.code.decode(offsets[i], places, variances)
            if self.options.clip:
                boxes = boxes.clamp(0, 1)
            found.append(self._detections(i, boxes, scores[i]))
        rows = torch.cat(found)
        if not len(rows):
            rows = scores.new_full((images, 7), -1)
            rows[:, 0] = torch.arange(images)
        return [rows[None, None]]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give NonMaxSuppression; without detections the top has no rows."""
        return [onnx.detections(layer, self.options, self.code.name, self.least)]

    def _detections(
        self, image: int, boxes: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        """Rows (D, 7) of one image, from (P, L, 4) boxes and (P, K) scores."""
        most = int(self.options.keep_top_k)
        scores = scores.t().contiguous()
        if 0 <= self.options.background_label_id < self.classes:
            scores[self.options.background_label_id] = -torch.inf
        # who is left depends on better boxes only: often the best few are enough
        looked_at = _FIRST * most
        rows, complete = boxes.new_zeros(0, 6), most == 0
        while not complete and len(rows) < (most if most > 0 else 1):
            least = _LEAST
            if 0 < looked_at < scores.numel():
                least = float(scores.view(-1).topk(looked_at).values[-1])
            complete = least <= self.least
            rows = self._of_classes(boxes, scores, least)
            looked_at *= _FIRST
        if 0 <= most < len(rows):
            rows = rows[first_by_score(rows[:, 1], most)]
            rows = rows[rows[:, 0].argsort(stable=True)]
        return torch.cat([rows.new_full((len(rows), 1), image), rows], 1)

    def _of_classes(
        self, boxes: torch.Tensor, scores: torch.Tensor, least: float
    ) -> torch.Tensor:
        """Label, score and box (D, 6) of what is left of scores of `least` or more."""
        candidates = (scores > self.least) & (scores >= least)
        labels, places = candidates.nonzero(as_tuple=True)
        values = scores[labels, places]
        order = values.argsort(descending=True, stable=True)
        order = order[labels[order].argsort(stable=True)]
        counts = candidates.sum(1)
        if self.most >= 0:
            starts = counts.cumsum(0) - counts
            ranks = torch.arange(len(order), device=order.device) - starts[labels]
            order = order[ranks < self.most]
            counts = counts.clamp(max=self.most)
        labels, places, values = labels[order], places[order], values[order]
        own = boxes[places, labels if self.boxes_each > 1 else 0]
        rows = torch.cat([labels[:, None].to(own), values[:, None], own], 1)
        nms = self.options.nms_param
        found = [rows[:0]]
        for part in rows.split(_together(counts.tolist(), nms.eta)):
            kept = suppressed(part[:, 2:], nms.nms_threshold, nms.eta, part[:, 0])
            found.append(part[kept])
        return torch.cat(found)


def _together(counts: Sequence[int], eta: float) -> list[int]:
    """Sizes of the lists that are suppressed at once, of one class or of several.

    Few large steps are faster than many small ones, up to some size.
    """
    sizes = [0]
    for count in counts:
        if sizes[-1] and (sizes[-1] + count > _AT_ONCE or eta < 1):
            sizes.append(0)
        sizes[-1] += count
    return sizes
