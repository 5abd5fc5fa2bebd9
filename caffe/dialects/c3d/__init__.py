"""What Facebook's C3D added: convolution and pooling over time, height and width.

Fields stand with the numbers of C3D 1.1. C3D 1.0 has those of its filters in
convolution_param and pooling_param: they are read in texts.
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="c3d",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.c3d.layers",
    options={"Deconvolution3D": "convolution3d_param"},
    offset=12000,
)
