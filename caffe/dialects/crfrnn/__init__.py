"""What CRF-RNN added: a dense conditional random field as a layer."""

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="crfrnn",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.crfrnn.layers",
    offset=7000,
)
