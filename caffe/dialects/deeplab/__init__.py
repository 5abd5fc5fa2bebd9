"""What the first DeepLab's Caffe has: holes in kernels, which BVLC calls dilation."""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="deeplab", fields=Path(__file__).with_name("fields.proto"), offset=16000
)
