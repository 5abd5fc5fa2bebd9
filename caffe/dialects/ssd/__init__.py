"""What the SSD branch of weiliu89/caffe added: detection of objects in one pass."""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="ssd",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.ssd.layers",
    offset=2000,
)
