"""What Fast and Faster R-CNN, R-FCN and PVANet added: regions of interest, losses.

The numbers are those of the published models: rbgirshick's, daijifeng's and sanghoon's
forks, which agree where they have the same field. The schema has them too, but for two
ways to divide a loss: a file is told by a layer that could not be BVLC's with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe.dialects import Dialect

_LOSSES = ("SmoothL1Loss", "SmoothL1LossOHEM", "SoftmaxWithLossOHEM")


class _RCNN(Dialect):
    def may_have_written(self, layer: Any) -> bool:
        """Tell whether a loss is divided in a way that BVLC's number does not mean.

        3 is PRE_FIXED here, which comes with its number, and NONE there, where 4 is
        unknown.
        """
        loss = layer.loss_param
        fixed = loss.HasField("pre_fixed_normalizer") and (
            loss.normalization == loss.NONE
        )
        nothing = layer.HasField("loss_param") and not loss.HasField("normalization")
        return layer.type in _LOSSES and (fixed or nothing)

    def has_written(self, layer: Any, own: Any) -> bool:
        loss = own.loss_param
        return self.may_have_written(layer) and (
            loss.normalization in (loss.PRE_FIXED, loss.NONE)
        )


dialect = _RCNN(
    name="rcnn",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.rcnn.layers",
    offset=3000,
)
