"""Layers that shrink values towards 0."""

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="shrinkage",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe_shrinkage.layers",
)
