"""What SegNet, Bayesian SegNet and ENet added to segment images."""

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="segnet",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.segnet.layers",
    offset=5000,
)
