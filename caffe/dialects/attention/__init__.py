"""Products of two blobs, for nets with attention; no fork has such a layer."""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="attention",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.attention.layers",
    offset=18000,
)
