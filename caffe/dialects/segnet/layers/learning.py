"""SegNet's variants of layers of BVLC's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Tensors
from caffe.engine.layers.common import DropoutLayer
from caffe.engine.layers.shared import as_floats, as_labels, check_labels, pixel_shape
from caffe.engine.layers.softmax_loss import SoftmaxWithLossLayer
from caffe.engine.onnx.graph import Value, no_counterpart
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import FORMAT, Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError


@register("Dropout")
class SamplingDropoutLayer(DropoutLayer):
    """Dropout that drops in TEST too (Bayesian SegNet).

    Options (``dropout_param``)
        sample_weights_test : true.
        dropout_ratio : as for Dropout.
    """

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the option."""
        return bool(param.dropout_param.sample_weights_test)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Mask as in TRAIN."""
        return super().forward(bottoms, params, replace(context, train=True))

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Refuse."""
        raise no_counterpart("sample_weights_test: it drops at random")

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Refuse."""
        raise layer.refuse(FORMAT, "sample_weights_test: it drops at random")


@register("SoftmaxWithLoss")
class WeightedSoftmaxWithLossLayer(SoftmaxWithLossLayer):
    """SoftmaxWithLoss in which each class has a weight (SegNet).

    Options (``loss_param``)
        weight_by_label_freqs : true.
        class_weighting : repeated float, one for each class.
        ignore_label, normalization : as for SoftmaxWithLoss; pixels count without
            their weights.

    Bottoms and tops
        As for SoftmaxWithLoss, without weights of pixels. A pixel adds
        ``-weight[label] log p``.
    """

    bottoms = (2, 2)
    capturable = False

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the option."""
        return bool(param.loss_param.weight_by_label_freqs)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Softmax, logarithm, weighted mean."""
        x = as_floats(bottoms[0])
        axis = self._axis(x.dim())
        weights = torch.tensor(
            self.param.loss_param.class_weighting, dtype=x.dtype, device=x.device
        )
        if len(weights) != x.shape[axis]:
            raise CheckError(
                f"class_weighting has {len(weights)} values: expected {x.shape[axis]}, "
                "one for each class of bottom 0"
            )
        labels = as_labels(bottoms[1]).reshape(pixel_shape(x.shape, axis))
        counted = self._normalizer.counted(labels)
        share = weights.new_ones(labels.shape)
        if counted is not None:
            labels, share = labels.where(counted, 0), counted.to(x.dtype)
        check_labels(labels, x.shape[axis])
        log_p = functional.log_softmax(x, axis).gather(axis, labels)
        divisor = self._normalizer.divisor(share.sum(), labels.shape, axis)
        loss = -(log_p * weights[labels] * share).sum() / divisor
        return [loss, functional.softmax(x.detach(), axis)][: len(self.param.top)]
