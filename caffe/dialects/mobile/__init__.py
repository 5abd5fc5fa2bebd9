"""What nets for telephones brought: depthwise convolutions, ReLU6, shuffled channels.

The layers come from several forks and pull requests: yonghenglh6
(DepthwiseConvolution), BVLC's pull request 5665 (ConvolutionDepthwise), chuanqi305
(ReLU6), farmingyard (ShuffleChannel), hujie-frank (Axpy), happynear (Flip,
ChannelScale).
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="mobile",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.mobile.layers",
    offset=9000,
)
