"""What Freiburg's FlowNet 2 added: layers for optical flow."""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="flownet",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.flownet.layers",
    options={"L1Loss": "l1_loss_param"},
    offset=13000,
)
