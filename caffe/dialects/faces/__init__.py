"""Layers that nets for faces brought: margins, centres, normalized vectors.

CenterLoss is ydwen's, LargeMarginInnerProduct and MarginInnerProduct are wy1iu's,
TripletLoss and Normalize happynear's, L2Normalize is C3D's, Normalization CaffeMex's.
Fields stand with happynear's numbers, who has most of them.
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="faces",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.faces.layers",
    options={
        "Normalize": "normalize_param",
        "LargeMarginInnerProduct": "largemargin_inner_product_param",
    },
    offset=11000,
)
