"""What NVIDIA/caffe added: half precision, caches, threads, BatchNorm with a scale.

Its binary files have the numbers of a blob as raw bytes, see `caffe.proto.blobs`.
"""

from __future__ import annotations

from pathlib import Path

from caffe.dialects import Dialect

dialect = Dialect(
    name="nvidia",
    fields=Path(__file__).with_name("fields.proto"),
    layers="caffe.dialects.nvidia.layers",
    options={"RNN": "recurrent_param", "LSTM": "recurrent_param"},
    offset=15000,
)
