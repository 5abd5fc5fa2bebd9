"""What PSPNet, and DeepLab before it, added to segment images."""

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="pspnet",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.pspnet.layers",
    offset=4000,
)
